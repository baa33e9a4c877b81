"""A run has the same bits in every stack, and equals the plain loop up to rounding."""

import itertools
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch

from pipeline.datasets import Summary
from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.training import stacking
from pipeline.training.loop import train
from pipeline.training.stacking import StackPlan, stack_plan
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.helpers.project import SCHEDULERS, load
from tests.schedules.mine import FALLING, RESTARTING
from tests.training.fitting import CPU, OPTIMIZERS, Splits, fit
from tests.training.kinds import KINDS

Outcome = tuple[list[Epoch], dict[str, torch.Tensor]]


def together(runs: Sequence[Run], summary: Summary, splits: Splits) -> dict[str, Outcome]:
    """Train runs in the widest stacks; return their outcomes, keyed by the runs' names."""
    trainings = [Training(run, summary, CPU) for run in runs]
    most = stack_plan(trainings[0], TrainingSet(splits[0], summary, runs[0].workload, CPU)).most
    for start in range(0, len(runs), most):
        for _ in train(trainings[start : start + most], *splits):
            pass
    return {each.run.name: (each.recorded, each.evaluated.network.state_dict()) for each in trainings}


def bits(outcome: Outcome) -> tuple[str, list[bytes]]:
    epochs, weights = outcome
    return repr(epochs), [weight.numpy().tobytes() for weight in weights.values()]


@pytest.fixture(autouse=True)
def _stack_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also allow stacks that are not faster on a CPU."""
    monkeypatch.setitem(stacking.MAX_WORK, "mapped", 2**40)
    monkeypatch.setattr(stacking, "_plans", {})


@pytest.mark.parametrize("name", KINDS)
def test_no_run_of_any_network_depends_on_its_stack(name: str) -> None:
    """Runs have the same bits alone, in twos, in threes and all at once, even if their order is reversed."""
    kind = KINDS[name]
    summary, splits = kind.summary, kind.splits
    names = ["constant", "onecycle", "ema", "swa", "schedule-free"]
    averages = {"schedulers__ema__average__decay": 0.5, "schedulers__swa__start": 1}
    runs = kind.runs(scheduler=names, clip_grad_norm=0.5, lr=0.05, **averages)
    first = Training(runs[0], summary, CPU)
    assert stack_plan(first, TrainingSet(splits[0], summary, runs[0].workload, CPU)).kind == kind.stack
    expected = together(runs, summary, splits)
    assert len({repr(bits(outcome)) for outcome in expected.values()}) == len(runs)
    for size in (1, 2, 3):
        for start in range(0, len(runs), size):
            found = together(runs[start : start + size][::-1], summary, splits)
            for run_name, outcome in found.items():
                assert bits(outcome) == bits(expected[run_name]), (run_name, size)


@pytest.mark.parametrize("name", KINDS)
def test_any_network_in_a_stack_equals_the_plain_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The random numbers for dropout and the statistics of batch norm are also the same."""
    kind = KINDS[name]
    summary, splits = kind.summary, kind.splits
    runs = kind.runs(scheduler=["constant", "ema"], accumulate=2, lr=0.05)
    found = together(runs, summary, splits)
    monkeypatch.setattr(stacking, "stack_plan", lambda *_: StackPlan())
    for run in runs:
        assert_alike(together([run], summary, splits)[run.name], found[run.name])


NOTHING_BUT_ROUNDING = ("blocks.0.attention.inputs.bias",)
"""Weights whose gradient is 0 up to rounding, such as biases of keys; some optimizers still take large steps."""


def assert_alike(expected: Outcome, found: Outcome) -> None:
    for one, other in zip(found[0], expected[0], strict=True):
        assert one.lr == pytest.approx(other.lr)
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)
    for name, weight in expected[1].items():
        if name in NOTHING_BUT_ROUNDING:
            continue
        near = torch.isclose(weight, found[1][name], rtol=1e-3, atol=1e-4)
        assert near.float().mean() > 0.98, name  # a gradient that is only a rounding error may have either sign


PAIRS = [*zip(itertools.cycle(name for name in KINDS if name != "resnet"), OPTIMIZERS, strict=False), ("resnet", "SGD")]
"""Each optimizer with one kind of network; Muon cannot train resnet, which has no hidden matrix."""


@pytest.mark.parametrize(("name", "optimizer"), PAIRS)
def test_every_optimizer_in_stacks(name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run has the same bits alone and in a stack, and equals the plain loop up to rounding."""
    kind = KINDS[name]
    summary, splits = kind.summary, kind.splits
    changes = {"optimizers__mine": OPTIMIZERS[optimizer], "optimizer": "mine", "epochs": 1, "lr": 0.01}
    runs = kind.runs(scheduler=["cosine", "onecycle"], **changes)
    found = together(runs, summary, splits)
    assert bits(together(runs[:1], summary, splits)[runs[0].name]) == bits(found[runs[0].name])
    monkeypatch.setattr(stacking, "stack_plan", lambda *_: StackPlan())
    assert_alike(together(runs[:1], summary, splits)[runs[0].name], found[runs[0].name])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_run_does_not_depend_on_its_stack(optimizer: str, summary: Summary, few: Splits) -> None:
    """All schedulers have the same bits alone, in twos, in fives and all at once, even if their order is reversed."""
    changes = {"scheduler": "all", "optimizer": optimizer, "lr": 0.01, "tasks__digits-mlp__epochs": 3}
    runs = [run for run in load(seeds=2, **changes).runs(200) if run.seed == SCHEDULERS.index(run.scheduler) % 2]
    assert len(runs) == len(SCHEDULERS)
    expected = together(runs, summary, few)
    for size in (1, 2, 5):
        for start in range(0, len(runs), size):
            found = together(runs[start : start + size][::-1], summary, few)
            for name, outcome in found.items():
                assert bits(outcome) == bits(expected[name]), (name, size)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_the_same_bits_alone_and_in_threes(name: str, summary: Summary, few: Splits) -> None:
    changes = {"optimizers__mine": OPTIMIZERS[name], "optimizer": "mine", "tasks__digits-mlp__epochs": 2}
    runs = load(scheduler=["cosine", "onecycle", "plateau"], lr=0.01, seeds=1, **changes).runs(200)
    found = together(runs, summary, few)
    assert len({repr(epochs) for epochs, _ in found.values()}) == 3
    for run in runs:
        assert bits(together([run], summary, few)[run.name]) == bits(found[run.name])


def test_every_scheduler_in_a_stack_equals_the_plain_loop(
    summary: Summary,
    few: Splits,
    squares: tuple[Summary, Splits],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tasks are the two that have small networks."""
    for task, epochs, (of, with_parts) in (("digits-mlp", 5, (summary, few)), ("square-mlp", 50, squares)):
        changes: dict[str, Any] = {"task": task, "scheduler": "all", "seeds": 1, f"tasks__{task}__epochs": epochs}
        runs = load(**changes).runs(len(with_parts[0]))
        found = together(runs, of, with_parts)
        with monkeypatch.context() as patch:
            patch.setattr(stacking, "stack_plan", lambda *_: StackPlan())
            for run in runs:
                assert_alike(together([run], of, with_parts)[run.name], found[run.name])


def test_a_diverged_run_does_not_change_the_others_of_its_stack(summary: Summary, few: Splits) -> None:
    changes = {"scheduler": "constant", "seeds": 1, "tasks__digits-mlp__epochs": 6}
    runs = load(lr=[0.1, 1e12, 0.2], **changes).runs(200)
    found = together(runs, summary, few)
    assert [outcome[0][-1].diverged for outcome in found.values()] == [False, True, False]
    assert len(found[runs[1].name][0]) < 6
    for run in runs:
        assert bits(found[run.name]) == bits(together([run], summary, few)[run.name])


def test_a_stack_resumes_from_checkpoints(summary: Summary, few: Splits) -> None:
    """The checkpoints are from runs that were trained alone, within an epoch; two runs have a user's schedule."""
    own = {"schedulers__wsd": FALLING, "schedulers__rex": RESTARTING, "tasks__digits-mlp__epochs": 4}
    names = ["cosine", "onecycle", "plateau", "wsd", "rex", "ema", "swa", "schedule-free"]
    runs = load(scheduler=names, seeds=1, **own, schedulers__swa__start=1).runs(200)
    expected = together(runs, summary, few)
    states: dict[str, dict[str, Any]] = {}
    for run in runs:
        alone = Training(run, summary, CPU)
        passed = iter(range(10**9))

        def between(alone: Training = alone, passed: Any = passed) -> None:
            if next(passed) == 10:
                states[alone.run.name] = deepcopy(alone.state_dict())

        fit(alone, few, between)
        assert bits((alone.recorded, alone.evaluated.network.state_dict())) == bits(expected[run.name])
    again = [Training(run, summary, CPU) for run in runs]
    for each in again:
        each.load_state_dict(states[each.run.name])
    assert len({each.position for each in again}) == 1
    for _ in train(again, *few):
        pass
    for each in again:
        assert bits((each.recorded, each.evaluated.network.state_dict())) == bits(expected[each.run.name])
