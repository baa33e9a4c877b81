"""Whatever the results of the runs, the words and numbers in the report are readable.

The suite always tries the same sweeps. `ATTACK_SECONDS=3600 pytest tests/attacks` tries random sweeps for an hour.
"""

import io
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from matplotlib import pyplot as plt
from rich.console import Console

from pipeline.errors import UserError
from pipeline.report import result_files, results_folder, wording
from pipeline.report.answer_table import print_answer
from pipeline.sweep.jobs import Evaluation
from tests.attacks.driving import SECONDS, check_json, check_readable
from tests.attacks.figures import Figures, figures
from tests.report.sweeps import LAYERS

SOME = settings(derandomize=True, deadline=None, suppress_health_check=[*HealthCheck])
MANY = settings(SOME, max_examples=1000, derandomize=False, database=None)


def attack(given: Figures, folder: Path, draws: bool) -> None:
    """Write the whole report on made-up figures; draw the plots only if ``draws`` is true."""
    try:
        scored = given.results()
    except UserError as error:
        assert "\n" not in str(error)
        return
    found = results_folder.find(given.params, given.summary, scored, given.stable)
    told = [wording.verdict(found), wording.setup(found)]
    screen = io.StringIO()
    print_answer(Console(file=screen, width=100), found, Path("report.html"))
    for text in [*told, screen.getvalue()]:
        check_readable(text)
    result_files.write_metrics(folder / "metrics.json", found)
    result_files.write_schedulers(folder / "schedulers.json", found)
    check_json(folder)
    records = [record for record, _ in scored]
    result_files.write_curves(folder / "curves.csv", records)
    result_files.write_mean_curves(folder / "mean_curves.csv", found)
    result_files.write_learning_curves(folder / "learning_curves.csv", records)
    if draws:
        evaluated = {record.run.name: Evaluation(score, LAYERS) for record, score in scored}
        results_folder.write(folder, given.params, given.summary, records, evaluated, given.stable)
        plt.close("all")


@pytest.mark.parametrize("draws", [False, True])
def test_figures_are_readable(tmp_path: Path, draws: bool) -> None:
    end = time.monotonic() + SECONDS / 2  # half of the time is for reports with plots
    some = settings(SOME, max_examples=1 if draws else 30)

    @(MANY if SECONDS else some)
    @given(figures())
    def attacked(given: Figures) -> None:
        if not SECONDS or time.monotonic() < end:
            attack(given, tmp_path, draws)

    attacked()
    while time.monotonic() < end:
        attacked()
