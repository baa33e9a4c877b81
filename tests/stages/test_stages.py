"""Stages called from Python: the digests that `plan` writes, and what stages refuse."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.errors import UserError
from pipeline.runs import fingerprint, params, records
from pipeline.runs.epoch import Epoch
from pipeline.runs.records import Record, Sweep
from pipeline.stages import calibrate, common, plan
from pipeline.stages.common import Machine
from tests.helpers.data import draw_pictures
from tests.helpers.project import edit, load, set_model

MODEL = "from torch import nn\n\n\ndef build(shape, classes):\n    return nn.Flatten()\n"
SCHEDULE = """from torch.optim.lr_scheduler import LinearLR
def build(optimizer, epochs, steps):
    return LinearLR(optimizer, 1, 0, steps)
"""


def planned(name: str) -> dict[str, str]:
    fingerprint.user_files.cache_clear()  # because each command would be a new process
    plan.plan(params.load())
    found: dict[str, str] = json.loads((common.PLAN / f"{name}.json").read_text())
    return found


def test_a_built_in_task_needs_no_plan(project: Path) -> None:
    assert planned("data") == planned("code") == {}


def test_an_edit_of_a_user_model_changes_the_plan(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (project / "my_model.py").write_text(MODEL)
    edit(project, **{"tasks__digits-mlp__model": '{name: "my_model:build"}'})
    first = planned("code")
    assert list(first) == ["my_model"]
    (project / "my_model.py").write_text(MODEL + "    # a comment\n")
    assert planned("code") == first
    (project / "my_model.py").write_text(MODEL.replace("Flatten()", "Linear(64, classes)"))
    assert planned("code") != first


def test_an_edit_of_a_users_schedule_changes_the_plan_if_the_sweep_needs_the_schedule(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(f'{text}  mine: {{class: "my_schedule:build"}}\n')
    (project / "my_schedule.py").write_text(SCHEDULE)
    edit(project, scheduler="cosine")
    assert planned("code") == {}
    edit(project, baseline="mine")
    first = planned("code")
    assert list(first) == ["my_schedule"]
    edit(project, baseline="constant", scheduler="[cosine,mine]")
    assert planned("code") == first
    (project / "my_schedule.py").write_text(SCHEDULE.replace("0, steps", "0, steps - 1"))
    assert planned("code") != first
    (project / "my_schedule.py").write_text(SCHEDULE.replace("):", ")"))
    with pytest.raises(UserError, match=r"my_schedule.py is not Python: SyntaxError: .* \(my_schedule.py, line 2\)$"):
        planned("code")
    (project / "my_schedule.py").unlink()
    with pytest.raises(UserError, match=r"^schedule my_schedule:build: my_schedule is neither a module nor a package"):
        planned("code")


def test_a_missing_user_model_is_refused_before_anything_is_written(project: Path) -> None:
    edit(project, **{"tasks__digits-mlp__model": '{name: "no_model:build"}'})
    with pytest.raises(UserError, match=r"model no_model:build: no_model is neither a module nor a package here"):
        plan.plan(params.load())
    assert not common.PLAN.exists()


def test_a_change_of_weights_changes_the_plan(project: Path) -> None:
    set_model(project, name="torchvision:resnet18", weights="mine.pth")
    with pytest.raises(UserError, match=r"mine.pth: no such file or folder"):
        plan.plan(params.load())
    (project / "mine.pth").write_bytes(b"one")
    first = planned("code")
    assert list(first) == ["mine.pth"]
    (project / "mine.pth").write_bytes(b"other")
    assert planned("code") != first


def test_settings_that_torchvision_refuses_are_refused_before_anything_is_written(project: Path) -> None:
    set_model(project, name="torchvision:alexnet", dropout=2.0)
    with pytest.raises(UserError, match="model torchvision:alexnet: ValueError: dropout probability"):
        plan.plan(params.load())
    assert not common.PLAN.exists()


def test_a_change_of_pictures_changes_the_plan(project: Path) -> None:
    draw_pictures(project / "pictures", 3, (8, 8), "png")
    edit(project, **{"tasks__digits-mlp__dataset": "{name: image-folder, path: pictures}"})
    first = planned("data")
    assert list(first) == ["pictures"]
    assert planned("data") == first
    picture = next((project / "pictures").rglob("*.png"))
    picture.with_name("another.png").write_bytes(picture.read_bytes())
    assert planned("data") != first


def put_models(**changes: Any) -> None:
    """Write records into models/, as if a sweep had been trained."""
    runs = load(**{"scheduler": ["constant", "step"], **changes}).runs()
    for run in runs:
        records.write(
            common.MODELS / run.name,
            Record(run, "finished", [Epoch.of_network(1, 0.1, 0.5, 0.5, 0.9)], "cpu", "2", ""),
            b"",
        )
    records.write_sweep(common.MODELS, Sweep("digits-mlp", [run.name for run in runs], ""))


@pytest.mark.parametrize(
    ("changes", "budget", "is_enough"),
    [
        ({"seeds": 5}, 600, False),
        ({"seeds": 5}, 10, True),
        ({"seeds": 10}, 600, True),
        ({"seeds": 10, "lr": [0.1, 0.2]}, 600, False),  # all ten seeds are used to choose the rates
        ({"seeds": 20, "lr": [0.1, 0.2]}, 600, True),
    ],
)
def test_auto_refuses_too_few_seeds(project: Path, changes: dict[str, Any], budget: int, is_enough: bool) -> None:
    """The user has changed `seeds` to auto after training with fixed seeds."""
    put_models(**changes)
    assert common.trained_runs(load(**changes))
    race = load(seeds="auto", budget=budget, scheduler=["constant", "step"])
    if is_enough:
        assert common.trained_runs(race)
        return
    with pytest.raises(
        UserError, match="models holds other seeds than `seeds: auto` asks for; run `uv run pipeline tr"
    ):
        common.trained_runs(race)


def test_calibrate_refuses_a_budget_too_small_for_a_race(project: Path) -> None:
    with pytest.raises(UserError, match="budget: 3 runs are fewer than two for each of 2 pairs of scheduler"):
        calibrate.calibrate(load(scheduler="step", budget=3), Console(quiet=True), Machine(), 1, 2, 2)


def test_the_root_is_dvc_root_or_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert common.root() == Path()
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    assert common.root() == Path("/elsewhere")


def test_there_are_at_most_as_many_processes_as_runs() -> None:
    assert Machine(jobs=3).cores == 3
    assert Machine().cores >= 1
    with Machine(jobs=3).workers(2, [], Console(quiet=True)) as workers:
        assert workers.jobs == 2
