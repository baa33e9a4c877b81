"""Write results/: tables, figures and the report of a trained sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.comparison.groups import Group, grouped
from pipeline.comparison.questions import Question, questions
from pipeline.data import Summary
from pipeline.params import Params
from pipeline.records import Record
from pipeline.report import figures, page, tables
from pipeline.report.source import source

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Evaluation

WRITTEN = (
    *("report.html", "report.md", "metrics.json", "curves.csv", "learning_curves.csv", "parameters.csv"),
    *("ranking.png", "learning_curves.png", "parameters.png", figures.FIGURES),
)
"""The files and folders that `write` writes."""


def write(
    folder: Path,
    params: Params,
    prepared: Summary,
    trained: Sequence[Record],
    evaluated: "Mapping[str, Evaluation]",
) -> tuple[list[Group], list[Question]]:
    """Write the results of a sweep into ``folder``.

    Args:
        folder: where to.
        params: that the sweep was trained with.
        prepared: the summary of its data.
        trained: its runs.
        evaluated: their figures on the test set, by their names.

    Returns:
        The groups of the sweep, and the questions that it answers.
    """
    layers = [(record, evaluated[record.run.name].layers) for record in trained]
    groups = grouped([(record, evaluated[record.run.name].score) for record in trained])
    metric = params.run_metric
    asked = questions(groups, params.baseline, metric)
    tables.write_curves(folder / "curves.csv", trained)
    tables.write_learning_curves(folder / "learning_curves.csv", trained)
    tables.write_parameters(folder / "parameters.csv", layers)
    tables.write_metrics(folder / "metrics.json", groups, asked)
    drawn = figures.write(folder, groups, metric, asked, layers)
    page.write(folder, groups, asked, metric, drawn, source(params, prepared, trained))
    return groups, asked
