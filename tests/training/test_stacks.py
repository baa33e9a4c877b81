"""Runs that are trained together: each as if it were alone, to the last bit; and as the plain loop, to rounding."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from pipeline.data import Summary
from pipeline.params import Run
from pipeline.training import stacks
from pipeline.training.epoch import Epoch
from pipeline.training.loop import train
from pipeline.training.stacks import stackable, thread_invariant
from pipeline.training.state import Training
from tests.conftest import SCHEDULERS, load
from tests.schedules.mine import FALLING, RESTARTING
from tests.training.fitting import CPU, OPTIMIZERS, Splits, fit

Outcome = tuple[list[Epoch], dict[str, torch.Tensor]]


def together(runs: Sequence[Run], summary: Summary, few: Splits) -> dict[str, Outcome]:
    trainings = [Training(run, summary, CPU) for run in runs]
    for _ in train(trainings, *few):
        pass
    return {each.run.name: (each.recorded, each.published.network.state_dict()) for each in trainings}


def bits(outcome: Outcome) -> tuple[str, list[bytes]]:
    epochs, weights = outcome
    return repr(epochs), [weight.numpy().tobytes() for weight in weights.values()]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_run_does_not_depend_on_its_stack(optimizer: str, summary: Summary, few: Splits) -> None:
    """Alone, in twos, in fives and all at once, in another order: the same bits, whatever the place."""
    changes = {"scheduler": "all", "optimizer": optimizer, "lr": 0.01, "tasks__digits-mlp__epochs": 3}
    runs = [run for run in load(seeds=2, **changes).runs(200) if run.seed == SCHEDULERS.index(run.scheduler) % 2]
    assert len(runs) == len(SCHEDULERS) - (optimizer == "rmsprop")  # schedule-free has no form of it
    expected = together(runs, summary, few)
    for size in (1, 2, 5):
        for start in range(0, len(runs), size):
            found = together(runs[start : start + size][::-1], summary, few)
            for name, outcome in found.items():
                assert bits(outcome) == bits(expected[name]), (name, size)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_stack_of_one_and_one_of_three(name: str, summary: Summary, few: Splits) -> None:
    """Every optimizer of torch."""
    changes = {"optimizers__mine": OPTIMIZERS[name], "optimizer": "mine", "tasks__digits-mlp__epochs": 2}
    runs = load(scheduler=["cosine", "onecycle", "plateau"], lr=0.01, seeds=1, **changes).runs(200)
    found = together(runs, summary, few)
    assert len({repr(epochs) for epochs, _ in found.values()}) == 3
    for run in runs:
        assert bits(together([run], summary, few)[run.name]) == bits(found[run.name])


def test_a_stack_is_the_plain_loop_to_rounding(
    summary: Summary,
    few: Splits,
    squares: tuple[Summary, Splits],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every scheduler of the two tasks whose networks are small."""
    for task, epochs, (of, with_parts) in (("digits-mlp", 5, (summary, few)), ("square-mlp", 50, squares)):
        changes: dict[str, Any] = {"task": task, "scheduler": "all", "seeds": 1, f"tasks__{task}__epochs": epochs}
        runs = load(**changes).runs(len(with_parts[0]))
        assert stackable(Training(runs[0], of, CPU).network, runs[0].batch_size)
        found = together(runs, of, with_parts)
        with monkeypatch.context() as patch:
            patch.setattr(stacks, "stackable", lambda *_: False)
            for run in runs:
                epochs_alone, weights_alone = together([run], of, with_parts)[run.name]
                epochs_found, weights_found = found[run.name]
                assert [epoch.lr for epoch in epochs_found] == pytest.approx([epoch.lr for epoch in epochs_alone])
                for one, other in zip(epochs_found, epochs_alone, strict=True):
                    assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
                    assert one.val_loss == pytest.approx(other.val_loss, rel=1e-5)
                for name, weight in weights_alone.items():
                    assert torch.allclose(weight, weights_found[name], rtol=1e-4, atol=1e-5), (run.name, name)


def test_a_run_that_diverges_leaves_the_others_alone(summary: Summary, few: Splits) -> None:
    changes = {"scheduler": "constant", "seeds": 1, "tasks__digits-mlp__epochs": 6}
    runs = load(lr=[0.1, 1e12, 0.2], **changes).runs(200)
    found = together(runs, summary, few)
    assert [outcome[0][-1].diverged for outcome in found.values()] == [False, True, False]
    assert len(found[runs[1].name][0]) < 6
    for run in runs:
        assert bits(found[run.name]) == bits(together([run], summary, few)[run.name])


def test_a_stack_goes_on_from_checkpoints(summary: Summary, few: Splits) -> None:
    """Checkpoints of runs that were alone, in the middle of an epoch; two of them have schedules of one's own."""
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
                state = alone.state_dict()
                states[alone.run.name] = torch.utils._pytree.tree_map(
                    lambda each: each.clone() if isinstance(each, torch.Tensor) else each, state
                )

        fit(alone, few, between)
        assert bits((alone.recorded, alone.published.network.state_dict())) == bits(expected[run.name])
    again = [Training(run, summary, CPU) for run in runs]
    for each in again:
        each.load_state_dict(states[each.run.name])
    assert len({each.position for each in again}) == 1
    for _ in train(again, *few):
        pass
    for each in again:
        assert bits((each.recorded, each.published.network.state_dict())) == bits(expected[each.run.name])


def settled(task: str, summary: Summary, **changes: Any) -> tuple[torch.nn.Module, int]:
    run = load(task=task, seeds=1, scheduler="cosine", **changes).runs(200)[0]
    return Training(run, summary, CPU).network, run.batch_size


LARGE = {"name": "mlp", "hidden": [512, 256]}
USER = {"name": "tests.training.fitting:plain"}


def test_only_small_networks_are_stacked(summary: Summary) -> None:
    assert stackable(*settled("digits-mlp", summary))
    assert not stackable(*settled("digits-mlp", summary, **{"tasks__digits-mlp__batch_size": 1000}))
    for model in (LARGE, USER):
        assert not stackable(*settled("digits-mlp", summary, **{"tasks__digits-mlp__model": model}))


def test_which_networks_are_trained_with_several_threads(summary: Summary) -> None:
    pictures = Summary("mnist", {}, "image", "", "", [str(each) for each in range(10)], 255, [1, 28, 28], 0, {}, {})
    assert thread_invariant(*settled("mnist-mlp", pictures))
    assert not thread_invariant(*settled("mnist-cnn", pictures))
    assert not thread_invariant(*settled("digits-mlp", summary))
    assert not thread_invariant(*settled("digits-mlp", summary, **{"tasks__digits-mlp__model": USER}))
