"""Write results/: tables, figures and the report of a trained sweep."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.comparison.answer import Answer, Findings, rules, scale
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import figures as comparison_figures
from pipeline.comparison.groups import grouped, held, sweep
from pipeline.comparison.questions import questions
from pipeline.comparison.standing import stand
from pipeline.datasets import Summary
from pipeline.report import figures, metrics, page, tables
from pipeline.report.source import source
from pipeline.runs.params import Params
from pipeline.runs.records import Record, Score, Stable
from pipeline.sweep.rounds import replay

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Evaluation

WRITTEN = (
    *("report.html", "report.md", "metrics.json", "schedulers.json"),
    *("curves.csv", "mean_curves.csv", "learning_curves.csv", "parameters.csv"),
    *("ranking.png", "learning_curves.png", "parameters.png", figures.FIGURES),
)
"""The files and folders that `write` writes."""


def find(
    params: Params,
    prepared: Summary,
    results: Iterable[tuple[Record, Score]],
    stable: Mapping[str, Stable] | None = None,
) -> Findings:
    """Compare the runs of a sweep.

    Args:
        params: that the sweep was trained with.
        prepared: the summary of its data.
        results: its runs, with their figures on the test split.
        stable: the stable base rates of each optimizer that was tested.
    """
    found = sweep(grouped(results), is_auto=params.run_seeds is None)
    how = scale(params.run_metric, params.run_margin, prepared.examples["test"])
    asked = rules([arm.method for arm in found.arms], params.baseline, how)
    values, budget = comparison_figures(found.arms, how.metric), None
    if params.run_seeds is None:
        budget = params.run_budget
        rounds = [each.standing for each in replay(values, asked, budget)]
    else:
        rounds = [stand(Evidence(values, how.least), held(values), asked)]
    answer = Answer(found.arms, how, rounds, budget)
    asked_of = questions(found, params.baseline, how)
    return Findings(found, asked_of, answer, params.baseline, stable or {}, prepared.units)


def write(
    folder: Path,
    params: Params,
    prepared: Summary,
    trained: Sequence[Record],
    evaluated: "Mapping[str, Evaluation]",
    stable: Mapping[str, Stable] | None = None,
) -> Findings:
    """Write the results of a sweep into ``folder``, and return them.

    Args:
        folder: where to.
        params: that the sweep was trained with.
        prepared: the summary of its data.
        trained: its runs.
        evaluated: their figures on the test set, by their names.
        stable: the stable base rates of each optimizer that was tested.
    """
    layers = [(record, evaluated[record.run.name].layers) for record in trained]
    found = find(params, prepared, [(record, evaluated[record.run.name].score) for record in trained], stable)
    tables.write_curves(folder / "curves.csv", trained)
    tables.write_mean_curves(folder / "mean_curves.csv", found)
    tables.write_learning_curves(folder / "learning_curves.csv", trained)
    tables.write_parameters(folder / "parameters.csv", layers)
    metrics.write_metrics(folder / "metrics.json", found)
    metrics.write_schedulers(folder / "schedulers.json", found)
    drawn = figures.write(folder, found, layers)
    page.write(folder, found, drawn, source(params, prepared, trained))
    return found
