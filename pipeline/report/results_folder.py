"""The folder results/, which holds the report of a trained sweep, its pictures and its tables."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.comparison.answer import Answer, Findings, rules, scale
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import comparable_figures, grouped, seed_counts, sweep_groups
from pipeline.comparison.questions import questions
from pipeline.comparison.standing import stand
from pipeline.datasets import Summary
from pipeline.report import document, plots, result_files
from pipeline.report.reproduction import reproduction
from pipeline.runs.metric import Figures
from pipeline.runs.params import Params
from pipeline.runs.records import Record, Stable
from pipeline.sweep.rounds import replay

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Evaluation

WRITTEN = (
    *("report.html", "report.md", "metrics.json", "schedulers.json", "answer.json"),
    *("curves.csv", "mean_curves.csv", "learning_curves.csv", "parameters.csv"),
    *("ranking.png", "learning_curves.png", "parameters.png", plots.FOLDER),
)
"""The files and folders that `write` creates."""


def find(
    params: Params,
    prepared: Summary,
    results: Iterable[tuple[Record, Figures]],
    stable: Mapping[str, Stable] | None = None,
) -> Findings:
    """Compare the runs of a sweep, and return the findings.

    Args:
        params: the parameters of the sweep.
        prepared: the summary of the sweep's data.
        results: the runs of the sweep, each with its test figures.
        stable: the stable base rates of each optimizer that had a range test.
    """
    groups = sweep_groups(grouped(results), is_auto=params.run_seeds is None)
    on_scale = scale(params.run_metric, params.run_margin, prepared.examples["test"])
    by_rules = rules([arm.method for arm in groups.arms], params.baseline, on_scale)
    figures, budget = comparable_figures(groups.arms, on_scale.metric), None
    if params.run_seeds is None:
        budget = params.run_budget
        rounds = [step.standing for step in replay(figures, by_rules, budget)]
    else:
        rounds = [stand(Evidence(figures, on_scale.least), seed_counts(figures), by_rules)]
    answered = questions(groups, params.baseline, on_scale)
    answer = Answer(groups.arms, on_scale, rounds, budget)
    return Findings(groups, answered, answer, params.baseline, stable or {}, prepared.units)


def write(
    folder: Path,
    params: Params,
    prepared: Summary,
    trained: Sequence[Record],
    evaluated: "Mapping[str, Evaluation]",
    stable: Mapping[str, Stable] | None = None,
) -> Findings:
    """Write the results of a sweep into ``folder``, and return the findings.

    Args:
        folder: the folder to write to.
        params: the parameters of the sweep.
        prepared: the summary of the sweep's data.
        trained: the runs of the sweep.
        evaluated: the evaluation of each run, keyed by the run's name.
        stable: the stable base rates of each optimizer that had a range test.
    """
    layers = [(record, evaluated[record.run.name].layers) for record in trained]
    findings = find(params, prepared, [(record, evaluated[record.run.name].figures) for record in trained], stable)
    result_files.write_curves(folder / "curves.csv", trained)
    result_files.write_mean_curves(folder / "mean_curves.csv", findings)
    result_files.write_learning_curves(folder / "learning_curves.csv", trained)
    result_files.write_parameters(folder / "parameters.csv", layers)
    result_files.write_metrics(folder / "metrics.json", findings)
    result_files.write_answer(folder / "answer.json", findings)
    result_files.write_schedulers(folder / "schedulers.json", findings)
    drawn = plots.write(folder, findings, layers)
    document.write(folder, findings, drawn, reproduction(params, prepared, trained))
    return findings
