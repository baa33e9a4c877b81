"""The pictures that `evaluate` draws for a sweep."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import best_of_each, is_grid
from pipeline.report.arm_plots import race, ranking
from pipeline.report.arms import arms, own
from pipeline.report.forest import against_baseline, against_leader
from pipeline.report.panels import learning_curves, sensitivity
from pipeline.report.style import colours, save
from pipeline.report.weight_plot import parameters
from pipeline.runs.records import Record
from pipeline.training.layer_statistics import Layer

FOLDER = "figures"
"""Name of the subfolder for all SVGs, and for the PNGs of pictures that only some sweeps have."""


def write(folder: Path, findings: Findings, layers: Sequence[tuple[Record, Sequence[Layer]]]) -> dict[str, Path]:
    """Draw all pictures of a sweep, and write them to files.

    PNGs of pictures that every sweep has are written to ``folder``, and all other files to its subfolder `FOLDER`.
    Every picture except `sensitivity` shows each scheduler at its own base LR.

    Returns:
        The path of each picture's SVG, keyed by the picture's name.
    """
    inner = folder / FOLDER
    shutil.rmtree(inner, ignore_errors=True)  # an earlier sweep may have left other pictures
    rows, answer = arms(findings), findings.answer
    names = {arm.group.name: arm.name for arm in rows}
    best = {record.run.name for record in best_of_each([record for record, _ in layers], answer.budget is not None)}
    shown = {names[record.run.group]: (record, part) for record, part in layers if record.run.name in best}
    always = {
        "ranking": ranking(rows, colours(rows)),
        "learning_curves": learning_curves({arm.name: arm.group for arm in rows}),
        "parameters": parameters({arm.name: shown[arm.name] for arm in rows}),
    }
    for name, figure in always.items():
        save(figure, folder / f"{name}.png", inner / f"{name}.svg")
    some = {}
    if len(rows) > 1:
        some["leader"] = against_leader(rows, answer.scale)
    if compared := own(findings):
        some["baseline"] = against_baseline(compared, answer.scale)
    if len(rows) > 1 and answer.budget is not None:
        some["race"] = race(rows, answer)
    if is_grid(group.run for group in findings.sweep.groups):
        some["sensitivity"] = sensitivity(findings.sweep.tuning, colours(rows))
    for name, figure in some.items():
        save(figure, inner / f"{name}.png", inner / f"{name}.svg")
    return {name: inner / f"{name}.svg" for name in always | some}
