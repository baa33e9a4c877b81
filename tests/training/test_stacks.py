"""Runs that are trained together: each as if it were alone, to the last bit; and as a network by itself, nearly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import data
from pipeline.data import Split, Summary
from pipeline.params import Run
from pipeline.sweep.jobs import LARGEST, stacked
from pipeline.training import loop as training
from pipeline.training.epoch import Epoch
from pipeline.training.loop import Training, train
from tests.conftest import SCHEDULERS, load

CPU = torch.device("cpu")
Outcome = tuple[list[Epoch], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def parts(digits: Path) -> tuple[Split, Split]:
    whole = data.read(digits, "train")
    return Split(whole.x[:200], whole.y[:200]), data.read(digits, "val")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, tuple[Split, Split]]:
    folder = tmp_path_factory.mktemp("squares")
    data.prepare({"name": "square"}, folder, folder)
    return data.summary(folder), (data.read(folder, "train"), data.read(folder, "val"))


def together(runs: Sequence[Run], summary: Summary, parts: tuple[Split, Split]) -> dict[str, Outcome]:
    trainings = [Training(run, summary, CPU) for run in runs]
    for _ in train(trainings, *parts):
        pass
    return {each.run.name: (each.recorded, each.model.state_dict()) for each in trainings}


def bits(outcome: Outcome) -> tuple[str, list[bytes]]:
    epochs, weights = outcome
    return repr(epochs), [weight.numpy().tobytes() for weight in weights.values()]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_run_does_not_depend_on_its_stack(optimizer: str, summary: Summary, parts: tuple[Split, Split]) -> None:
    """Alone, in twos, in fives and all at once, in another order: the same bits, whatever the place."""
    changes = {"scheduler": "all", "optimizer": optimizer, "lr": 0.01, "tasks__digits-mlp__epochs": 3}
    runs = [run for run in load(seeds=2, **changes).runs(200) if run.seed == SCHEDULERS.index(run.scheduler) % 2]
    assert len(runs) == len(SCHEDULERS)
    expected = together(runs, summary, parts)
    for size in (1, 2, 5):
        for start in range(0, len(runs), size):
            found = together(runs[start : start + size][::-1], summary, parts)
            for name, outcome in found.items():
                assert bits(outcome) == bits(expected[name]), (name, size)


def test_a_stack_is_the_plain_loop_to_rounding(
    summary: Summary,
    parts: tuple[Split, Split],
    squares: tuple[Summary, tuple[Split, Split]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every scheduler of the two tasks whose networks are small."""
    for task, epochs, (of, with_parts) in (("digits-mlp", 5, (summary, parts)), ("square-mlp", 50, squares)):
        changes: dict[str, Any] = {"task": task, "scheduler": "all", "seeds": 1, f"tasks__{task}__epochs": epochs}
        runs = load(**changes).runs(len(with_parts[0]))
        assert training.small(Training(runs[0], of, CPU))
        found = together(runs, of, with_parts)
        with monkeypatch.context() as patch:
            patch.setattr(training, "small", lambda _: False)
            for run in runs:
                epochs_alone, weights_alone = together([run], of, with_parts)[run.name]
                epochs_found, weights_found = found[run.name]
                assert [epoch.lr for epoch in epochs_found] == pytest.approx([epoch.lr for epoch in epochs_alone])
                for one, other in zip(epochs_found, epochs_alone, strict=True):
                    assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
                    assert one.val_loss == pytest.approx(other.val_loss, rel=1e-5)
                for name, weight in weights_alone.items():
                    assert torch.allclose(weight, weights_found[name], rtol=1e-4, atol=1e-5), (run.name, name)


def test_a_run_that_diverges_leaves_the_others_alone(summary: Summary, parts: tuple[Split, Split]) -> None:
    changes = {"scheduler": "constant", "seeds": 1, "tasks__digits-mlp__epochs": 6}
    runs = load(lr=[0.1, 1e12, 0.2], **changes).runs(200)
    found = together(runs, summary, parts)
    assert [outcome[0][-1].diverged for outcome in found.values()] == [False, True, False]
    assert len(found[runs[1].name][0]) < 6
    for run in runs:
        assert bits(found[run.name]) == bits(together([run], summary, parts)[run.name])


def test_a_stack_goes_on_from_checkpoints(summary: Summary, parts: tuple[Split, Split]) -> None:
    """Of other stacks, in the middle of an epoch."""
    runs = load(scheduler=["cosine", "onecycle", "plateau"], seeds=1, **{"tasks__digits-mlp__epochs": 4}).runs(200)
    expected = together(runs, summary, parts)
    states: dict[str, dict[str, Any]] = {}
    for run in runs:
        alone = Training(run, summary, CPU)
        passed = iter(range(10**9))

        def between(alone: Training = alone, passed: Any = passed) -> None:
            if next(passed) == 10:
                state = alone.state()
                states[alone.run.name] = torch.utils._pytree.tree_map(
                    lambda each: each.clone() if isinstance(each, torch.Tensor) else each, state
                )

        list(alone.epochs(*parts, between))
    again = [Training(run, summary, CPU) for run in runs]
    for each in again:
        each.go_on_from(states[each.run.name])
    assert len({each.place for each in again}) == 1
    for _ in train(again, *parts):
        pass
    for each in again:
        assert bits((each.recorded, each.model.state_dict())) == bits(expected[each.run.name])


def test_only_small_networks_are_stacked(summary: Summary) -> None:
    def small(**changes: Any) -> bool:
        return training.small(Training(load(seeds=1, scheduler="cosine", **changes).runs(200)[0], summary, CPU))

    assert small()
    assert not small(**{"tasks__digits-mlp__batch_size": 1000})
    assert not small(**{"tasks__digits-mlp__model": {"name": "mlp", "hidden": [512, 256]}})
    assert not small(**{"tasks__digits-mlp__model": {"name": "tests.sweep.test_checkpoint:drops"}})


@pytest.mark.parametrize("count", [1, 2, 5, 16, 17, 22, 110, 440])
@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_pieces_of_a_sweep(count: int, jobs: int) -> None:
    runs = load(scheduler="constant", seeds=count).runs(200)
    jobs = min(jobs, count)
    pieces = stacked(runs, jobs, small=True)
    assert [run for piece in pieces for run in piece] == runs
    sizes = {len(piece) for piece in pieces}
    assert max(sizes) <= LARGEST
    assert max(sizes) - min(sizes) <= 1
    assert len(pieces) % jobs == 0
    assert len(pieces) - jobs < count / LARGEST  # no more than are needed
    assert stacked(runs, jobs, small=False) == [[run] for run in runs]
