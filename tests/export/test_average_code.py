"""Exported code with an average of the weights yields the network that this project publishes."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from pipeline.errors import UserError
from pipeline.export import TARGETS, Recipe
from pipeline.training import averaging
from tests.export.running import optimizer, recipe

EPOCHS, BATCHES = 8, 3
EXAMPLES = torch.randn(4 * BATCHES, 4, generator=torch.Generator().manual_seed(0))
ADAM = {"class": "AdamW", "betas": [0.8, 0.99], "weight_decay": 0.1}


class InOrder:
    """The training examples in a fixed order, with the interface that `update_bn` needs."""

    x = EXAMPLES

    def in_order(self) -> Any:
        return EXAMPLES.split(4)


def ours(given: Recipe, network: torch.nn.Module, loader: Any) -> torch.nn.Module:
    """Train as `pipeline.training` does, and return the network that this project would publish."""
    by = given.schedule.optimizer(given.optimizer, network, given.lr)
    steps = given.schedule.build(by, EPOCHS, BATCHES)
    found = averaging.Evaluated(network)
    if given.is_schedule_free:
        found = averaging.SwappedByOptimizer(network, by)
    elif given.average:
        found = averaging.Averaged(network, given.average)
    for epoch in range(1, EPOCHS + 1):
        found.start_epoch()
        for inputs, targets in loader:
            by.zero_grad()
            torch.nn.functional.mse_loss(network(inputs), targets).backward()
            by.step()
            found.after_step()
            if given.by_batch:
                steps.step()
        found.after_epoch(epoch)
        given.schedule.step_epoch(steps, None)
    examples: Any = InOrder()
    return found.for_validation(examples, torch.default_generator)


def run(target: str, given: Recipe) -> None:
    loader = DataLoader(TensorDataset(EXAMPLES, EXAMPLES), batch_size=4)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4))
    names: dict[str, Any] = {"model": deepcopy(network), "train_loader": loader}
    names["loss_function"] = torch.nn.functional.mse_loss
    exec(TARGETS[target](given), names)
    expected = ours(given, network, loader).state_dict()
    for name, found in names["model"].state_dict().items():
        assert torch.allclose(found, expected[name], rtol=1e-5, atol=1e-6), name


CASES: dict[str, dict[str, Any]] = {
    "ema": {},
    "swa": {"interval": "batch"},
    "cosine": {"average": {"kind": "swa", "start": 3}},
    "onecycle": {"average": {"kind": "ema", "decay": 0.7}},
    "schedule-free": {"warmup": "20%"},
}


@pytest.mark.parametrize("name", CASES)
def test_torch(name: str) -> None:
    run("torch", recipe(name, EPOCHS, BATCHES, **CASES[name]))


def test_schedule_free_adamw_has_the_settings_of_the_run() -> None:
    adam = optimizer(ADAM)
    given = recipe("schedule-free", EPOCHS, BATCHES, lr=0.01)
    given = replace(given, optimizer=adam, schedule=given.schedule.model_copy(update={"beta": 0.8, "lr_factor": 1.0}))
    assert "AdamWScheduleFree(" in TARGETS["torch"](given)
    run("torch", given)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("target", ["timm", "lightning"])
@pytest.mark.parametrize("name", CASES)
def test_other_libraries(target: str, name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(target, reason=f"needs {target}: uv run --group export pytest tests/export")
    monkeypatch.chdir(tmp_path)
    given = recipe(name, EPOCHS, BATCHES, **CASES[name])
    if target == "timm" and given.average and given.average["kind"] == "swa":
        pytest.skip("timm has no such average")
    run(target, given)


def test_plateau_validates_the_average() -> None:
    loss = recipe("plateau", EPOCHS, BATCHES, average={"kind": "swa", "start": 3})
    assert "scheduler.step(validate(averaged if epoch + 1 >= 3 else model))" in TARGETS["torch"](loss)
    with pytest.raises(UserError, match="Lightning has no validation of the network itself before its average begins"):
        TARGETS["lightning"](loss)
    loss = recipe("plateau", EPOCHS, BATCHES, average={"kind": "ema"})
    assert "scheduler.step(validate(averaged))" in TARGETS["torch"](loss)
