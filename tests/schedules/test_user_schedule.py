"""The user's own schedules: their rates, and one-line errors for mistakes."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.schedules import curve
from pipeline.schedules.user_schedule import UserSchedule
from pipeline.sweep.schedule_checks import lint_run, rehearse
from tests.helpers.commands import Command
from tests.helpers.project import edit, load
from tests.schedules.common import LR, optimizer, rates, run
from tests.schedules.mine import FALLING, LOADABLE, RESTARTING

SCHEDULER = """
class Mine:
    def __init__(self, optimizer, epochs, steps, factor=0.5):
        self.optimizer, self.factor, self.t = optimizer, factor, 0
    def step(self):
        self.t += 1
        for group in self.optimizer.param_groups:
            group["lr"] *= self.factor
    def get_last_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]
    def state_dict(self):
        return {"t": self.t}
"""


def test_a_scheduler_of_torch_is_stepped_by_its_interval() -> None:
    found = rates("mine", 4, 3, **FALLING)
    assert found == pytest.approx([LR * (1 - t / 12) ** 2 for t in range(12)], rel=1e-12)
    found = rates("mine", 4, 3, **FALLING | {"interval": "epoch", "power": 1})
    assert found == pytest.approx([LR * (1 - t / 4) for t in range(4) for _ in range(3)], rel=1e-12)


def test_an_object_with_three_methods_is_a_scheduler() -> None:
    found = rates("mine", 8, **RESTARTING)
    assert found == pytest.approx([LR * (1 + math.cos(math.pi * (t % 4) / 4)) / 2 for t in range(8)], rel=1e-12)


def test_complete_schedulers_pass_the_rehearsal() -> None:
    for settings in (FALLING, RESTARTING, LOADABLE):
        rehearse(run("mine", 5, 3, **settings))


def test_resolved_settings_include_the_length_of_the_run() -> None:
    of = run("mine", 4, 3, **FALLING)
    told = {"class": FALLING["class"], "interval": "batch", "epochs": 4, "steps": 12, "power": 2.0}
    assert of.resolved()["schedule"] == told
    assert of.flat()["scheduler.power"] == 2.0


def test_a_task_may_change_the_settings() -> None:
    changes = {"scheduler": "mine", "schedulers__mine": FALLING, "seeds": 1}
    (of,) = load(**changes, **{"tasks__digits-mlp__schedulers": {"mine": {"power": 3}}}).runs(32)
    assert of.resolved()["schedule"]["power"] == 3


def test_lint_ignores_settings_of_a_users_schedule() -> None:
    """Lint knows what `milestones` and `eta_min` mean in the project's schedules, but not in a user's schedule."""
    settings: dict[str, Any] = {"class": f"{__name__}:anything", "milestones": ["whenever"], "eta_min": 99}
    assert lint_run(run("mine", 4, **settings)) == []


def anything(optimizer: Any, epochs: int, steps: int, **settings: Any) -> Any:
    from torch.optim.lr_scheduler import PolynomialLR

    return PolynomialLR(optimizer, total_iters=steps)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"class": "mine.:build"},
            "schedulers.mine.class: 'mine.:build' is not a builder; write it as my_package.my_mo",
        ),
        ({"class": "m:build", "lr": 1}, "schedulers.mine: lr is not a setting: the optimizer has the base LR"),
        (
            {"class": "m:build", "steps": 1},
            "schedulers.mine: steps is not a setting: m:build gets the value of the run",
        ),
        ({"class": "m:build", "T-max": 1}, "schedulers.mine: 'T-max' cannot be the name of an argument"),
        ({"class": "m:build", "lambda": 1}, "schedulers.mine: 'lambda' cannot be the name of an argument"),
        ({"class": "m:build", "interval": "step"}, "schedulers.mine.interval: unknown 'step'; allowed: batch, epoch"),
        ({"class": "Mine"}, "schedulers.mine.class: unknown 'Mine'; "),
        (
            {"class": "ChainedScheduler", "schedulers": [{"class": "m:build"}]},
            "schedulers.mine.schedulers.0: m:build: a schedule of your own cannot be a part",
        ),
    ],
)
def test_a_mistake_in_params_is_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as error:
        load(schedulers__mine=settings)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


OBJECT = "def build(optimizer, epochs, steps):\n    return object()\n"
NO_SCHEDULER = "returns object, which lacks step(), get_last_lr(), state_dict()"
RESTORES_NOTHING = "    def load_state_dict(self, state):\n        pass\n"


@pytest.mark.parametrize(
    ("code", "settings", "line"),
    [
        ("", {"class": "no_such:build"}, "no_such cannot be imported (ModuleNotFoundError: No module named 'no_such')"),
        ("1 / 0", {}, "own_schedule cannot be imported (ZeroDivisionError: division by zero)"),
        (SCHEDULER, {"class": "own_schedule:mine"}, "own_schedule has no function 'mine'; did you mean 'Mine'?"),
        (OBJECT, {"class": "own_schedule:build"}, NO_SCHEDULER),
        (SCHEDULER, {"facto": 0.1}, "unknown setting 'facto'; did you mean 'factor'? allowed: factor"),
        (SCHEDULER.replace("factor=0.5", "factor"), {}, "the setting 'factor' is missing"),
        (SCHEDULER.replace(", steps", ""), {}, "must also accept epochs and steps, but has no 'steps'"),
        (SCHEDULER.replace("self.t = ", "self.t = 1 // int(factor) * "), {}, "ZeroDivisionError: integer division"),
        (SCHEDULER.replace("+= 1", "+= 1 / 0"), {}, "step() raises ZeroDivisionError: division by zero"),
        (SCHEDULER.replace("def step(self", "def step(self, loss"), {}, "step() raises TypeError: "),
        (SCHEDULER, {"factor": -1}, "get_last_lr() returns [-0.15]; allowed: finite numbers from 0"),
        (SCHEDULER.replace('return [group["lr"]', "return [0.1"), {}, "get_last_lr() says 0.1, but the optimizer has"),
        (SCHEDULER.replace('return {"t": self.t}', "return self.t"), {}, "state_dict() returns int, not a dictionary"),
        (
            SCHEDULER.replace("self.t}", "{1, 2}}"),
            {},
            "its state cannot be saved: 't': a checkpoint cannot hold set; al",
        ),
        (SCHEDULER.replace('"t": self', "(1, 2): self"), {}, "its state cannot be saved: a key in it is a tuple"),
        (SCHEDULER.replace("*= self.factor", "= 0.1 / self.t").replace("self.t}", "0}"), {}, "does not restore it"),
        (SCHEDULER.replace("*= self.factor", "= 0.1 / self.t") + RESTORES_NOTHING, {}, "does not restore it"),
    ],
)
def test_a_mistake_in_the_code_is_one_line(
    code: str, settings: dict[str, Any], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_schedule", raising=False)
    (tmp_path / "own_schedule.py").write_text(code)
    of = run("mine", 6, **{"class": "own_schedule:Mine"} | settings)
    with pytest.raises(UserError) as error:
        rehearse(of)
    assert line in str(error.value)
    assert str(error.value).startswith(f"schedule {of.schedule.class_}: ")
    assert "\n" not in str(error.value)


def test_a_schedule_that_fails_is_one_line() -> None:
    schedule = UserSchedule.model_validate({"class": f"{__name__}:failing"})
    with pytest.raises(UserError, match=r"failing: RuntimeError: two lines, of which one is left$"):
        curve(schedule, LR, 4, 1)
    with pytest.raises(UserError, match="failing: RuntimeError"):
        schedule.build(optimizer(), 4, 1)


def failing(optimizer: Any, epochs: int, steps: int) -> Any:
    raise RuntimeError("two lines,\n of which one is left")


def test_a_schedule_that_training_would_refuse_is_drawn_with_a_warning(pipeline: Command, project: Path) -> None:
    (project / "drawn.py").write_text(SCHEDULER.replace("self.t}", "{1, 2}}"))
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(f'{text}  mine: {{class: "drawn:Mine"}}\n')
    done = pipeline("schedules", "mine")
    assert done.returncode == 0, done.stderr
    assert "computed by your own code\n  interval=epoch, epochs=40, steps=40\n" in done.stdout
    assert "warning: mine cannot be trained: schedule drawn:Mine: its state cannot be saved: 't': " in done.stdout
    before = sorted(project.rglob("*"))
    edit(project, scheduler="mine")
    refused = pipeline("train", PIPELINE_JOBS="1")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("error: schedule drawn:Mine: its state cannot be saved: 't': ")
    assert [path for path in sorted(project.rglob("*")) if ".cache" not in path.parts and path not in before] == []
