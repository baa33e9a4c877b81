"""For every scheduler and every library, exported code has our learning rate at every batch."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.export import TARGETS, Recipe
from pipeline.schedules import Schedule, curve
from pipeline.schedules.horizons import Within
from tests.export.running import NO_INTEGRATIONS, REFUSED, of, recipe, run
from tests.helpers.project import SCHEDULERS, load
from tests.schedules.mine import FALLING, LOADABLE, RESTARTING

EPOCHS, BATCHES = 12, 3
OTHERS = [target for target in TARGETS if target != "torch"]
INTERVALS = ("epoch", "batch")
NEVER = [("plateau", "batch"), ("schedule-free", "epoch")]
ALL = [(name, interval) for name in SCHEDULERS for interval in INTERVALS if (name, interval) not in NEVER]
VARIANTS: dict[str, dict[str, Any]] = {
    "exponential": {"gamma": 0.7},
    "cosine": {"T_max": "50%"},
    "cosine-restarts": {"T_0": 2, "T_mult": 2},
    "step": {"step_size": 5, "gamma": 0.3},
    "linear": {"start_factor": 0.2, "end_factor": 1.0, "total_iters": "40%"},
    "polynomial": {"total_iters": "150%"},
    "cyclic": {"mode": "triangular2", "step_size_up": "20%", "step_size_down": "10%", "max_lr": 0.3, "base_lr": 0.01},
    "onecycle": {"three_phase": True, "anneal_strategy": "linear", "max_lr": 0.4, "total_steps": "120%"},
    "warmup-cosine": {"warmup": 0, "eta_min": 0.0},
    "wsd": {"warmup": 0},
    "wsd-sqrt": {"warmup": 0, "decay": "100%"},
    "tri-stage": {"warmup": 0, "hold": 0, "decay": "80%"},
    "linear-to-zero": {"warmup": 0},
    "inverse-sqrt": {"warmup": 4},
    "rex": {"total_iters": "130%"},
    "lambda": {"lr_lambda": "exp(-epoch / epochs) * (0.5 + cos(pi * step / steps) ** 2)"},
    "constant-factor": {"factor": 0.5, "total_iters": 3},
    "multistep": {"milestones": [2, 3, 9], "gamma": 0.5},
}
"""Settings that differ from those in params.yaml; a library's own class cannot express some of them."""


def agrees(target: str, given: Recipe) -> None:
    if (given.scheduler, target) in REFUSED:
        with pytest.raises(UserError, match=r"has no .*average of the weights, which .* needs; allowed: --to torch"):
            TARGETS[target](given)
        return
    found = run(TARGETS[target](given), given.batches)
    ours = curve(given.schedule, given.lr, given.epochs, given.batches)
    assert found == pytest.approx(ours, rel=1e-9, abs=1e-15)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that is the current folder, because the libraries write files."""
    monkeypatch.chdir(tmp_path)
    for name, value in NO_INTEGRATIONS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize(("name", "interval"), ALL)
def test_torch(name: str, interval: str, folder: Path) -> None:
    agrees("torch", recipe(name, EPOCHS, BATCHES, interval=interval))


@pytest.mark.parametrize("name", VARIANTS)
def test_torch_with_other_settings(name: str, folder: Path) -> None:
    for interval in INTERVALS:
        agrees("torch", recipe(name, EPOCHS, BATCHES, interval=interval, **VARIANTS[name]))


def fading(step: int, half: int) -> float:
    """Return 1 for the first step, 1/2 after `half` steps, 1/3 after twice as many steps, and so on."""
    return 1 / (1 + step / half)


class _Fading(Schedule):
    """lr/(1 + t/half)"""

    factor_of_step = staticmethod(fading)

    half: Within


def test_a_new_schedule_with_a_factor_needs_no_code_in_export(folder: Path) -> None:
    schedule = _Fading.model_validate({"class": "Fading", "half": "25%"})
    given = of(schedule, EPOCHS, BATCHES)
    assert "lr_scheduler.LambdaLR(optimizer, lr_lambda=partial(fading, half=3))" in TARGETS["torch"](given)
    agrees("torch", given)


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("name", ["cosine", "rex", "exponential", "lambda", "onecycle"])
def test_a_length_of_the_whole_run_follows_an_edit_of_the_constants(name: str, interval: str, folder: Path) -> None:
    code = TARGETS["torch"](recipe(name, EPOCHS, BATCHES, interval=interval))
    edited = code.replace(f"EPOCHS = {EPOCHS}\n", "EPOCHS = 7\n")
    shorter = recipe(name, 7, BATCHES, interval=interval)
    assert run(edited, BATCHES) == pytest.approx(curve(shorter.schedule, shorter.lr, 7, BATCHES), rel=1e-9)


@pytest.mark.parametrize("settings", [FALLING, RESTARTING], ids=["torch's", "not torch's"])
def test_a_users_own_schedule(settings: dict[str, Any], folder: Path) -> None:
    for interval in INTERVALS:
        schedule = load(schedulers__mine=settings | {"interval": interval}).schedule("mine")[0]
        agrees("torch", of(schedule, EPOCHS, BATCHES))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # warnings of other libraries do not matter
@pytest.mark.parametrize(("name", "interval"), ALL)
@pytest.mark.parametrize("target", OTHERS)
def test_other_libraries(target: str, name: str, interval: str, folder: Path) -> None:
    pytest.importorskip(target, reason=f"needs {target}: uv run --group export pytest tests/export")
    agrees(target, recipe(name, EPOCHS, BATCHES, interval=interval))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("target", OTHERS)
def test_other_libraries_with_other_settings(target: str, name: str, folder: Path) -> None:
    pytest.importorskip(target, reason=f"needs {target}: uv run --group export pytest tests/export")
    for interval in INTERVALS:
        agrees(target, recipe(name, EPOCHS, BATCHES, interval=interval, **VARIANTS[name]))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("settings", [FALLING, LOADABLE], ids=["torch's", "not torch's"])
@pytest.mark.parametrize("target", OTHERS)
def test_a_users_own_schedule_in_other_libraries(target: str, settings: dict[str, Any], folder: Path) -> None:
    pytest.importorskip(target, reason=f"needs {target}: uv run --group export pytest tests/export")
    for interval in INTERVALS:
        schedule = load(schedulers__mine=settings | {"interval": interval}).schedule("mine")[0]
        agrees(target, of(schedule, EPOCHS, BATCHES))
