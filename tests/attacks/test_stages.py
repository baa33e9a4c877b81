"""Valid settings at their limits: every stage ends with results, or with one line that says what is wrong.

The suite tries a few projects, the same each time. `ATTACK_SECONDS=3600 pytest tests/attacks` tries others for an hour.
"""

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from matplotlib import pyplot as plt

from tests.attacks.driving import SECONDS, Driver, furnish
from tests.attacks.settings import Project, projects
from tests.helpers.project import FOREIGN

FEW = settings(max_examples=2, derandomize=True, deadline=None, suppress_health_check=[*HealthCheck])
MANY = settings(FEW, max_examples=100, derandomize=False, database=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """The folder of all projects, one after another: MLflow's store stays, as it takes seconds to open."""
    made = tmp_path_factory.mktemp("attacked")
    shutil.copy(empty_store, made)
    return made


def attack(project: Project, folder: Path) -> None:
    """Run all stages on a project."""
    furnish(folder, project)
    driver, names = Driver(), [*project.content["schedulers"]]
    try:
        driver.sweep()
        driver.export(names)
        if SECONDS:
            driver.look(names)
    finally:
        plt.close("all")


@pytest.mark.filterwarnings(*FOREIGN)
def test_all_stages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    end = time.monotonic() + SECONDS

    @given(projects())
    def attacked(project: Project) -> None:
        if not SECONDS or time.monotonic() < end:
            attack(project, folder)

    if not SECONDS:
        FEW(attacked)()
    while time.monotonic() < end:
        MANY(attacked)()
