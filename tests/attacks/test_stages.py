"""With valid settings, even at their limits, every stage ends with results or with a one-line error.

The suite always tries the same projects. `ATTACK_SECONDS=3600 pytest tests/attacks` tries random projects for an hour.
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
    """The folder of each project in turn. MLflow's store is kept, because opening a new store takes seconds."""
    made = tmp_path_factory.mktemp("attacked")
    shutil.copy(empty_store, made)
    return made


def attack(project: Project, folder: Path) -> None:
    """Run all stages of a project."""
    furnish(folder, project)
    driver, names = Driver(), [*project.content["schedulers"]]
    try:
        driver.sweep()
        driver.export(names)
        if SECONDS:
            driver.look(names)
    finally:
        plt.close("all")


@pytest.mark.slow
@pytest.mark.filterwarnings(*FOREIGN)
def test_all_stages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    end = time.monotonic() + SECONDS

    @(MANY if SECONDS else FEW)
    @given(projects())
    def attacked(project: Project) -> None:
        if not SECONDS or time.monotonic() < end:
            attack(project, folder)

    attacked()
    while time.monotonic() < end:
        attacked()
