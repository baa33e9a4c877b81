"""The training loop: determinism, paired runs, epochs, and the end of a run."""

import math
from typing import Any

import pytest
import torch

from pipeline.datasets import Split, Summary
from pipeline.training.determinism import use_threads
from pipeline.training.evaluation import score
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.helpers.project import SCHEDULERS, load
from tests.training.fitting import CPU, Splits, equal, fit, fitted, runs


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_the_same_run_gives_the_same_bits(optimizer: str, summary: Summary, splits: Splits) -> None:
    run = runs(scheduler="onecycle", optimizer=optimizer, lr=0.01, seeds=1)[0]
    first, second = (fitted(run, summary, splits) for _ in range(2))
    assert first[0] == second[0]
    assert equal(first[1], second[1])


def test_seeds_differ(summary: Summary, splits: Splits) -> None:
    first, second = (fitted(run, summary, splits) for run in runs(scheduler="constant", seeds=2))
    assert first[0] != second[0]
    assert not equal(first[1], second[1])


def test_schedulers_are_paired(summary: Summary, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every scheduler, a seed has the same initial weights and the same batches in the same order."""
    seen: dict[str, list[torch.Tensor]] = {}
    take = TrainingSet.take

    for run in runs(scheduler="all", seeds=1):
        batches: list[torch.Tensor] = []

        def spy(self: TrainingSet, batch: Any, batches: list[torch.Tensor] = batches) -> Any:
            x, y = take(self, batch)
            batches.append(x)
            return x, y

        monkeypatch.setattr(TrainingSet, "take", spy)
        training = Training(run, summary, CPU)
        weights = [weight.clone() for weight in training.network.state_dict().values()]
        assert len(fit(training, splits)) == 3
        seen[run.name] = weights + batches
    reference = seen.pop("constant-s0")
    assert len(seen) == len(SCHEDULERS) - 1
    for name, tensors in seen.items():
        assert all(torch.equal(*pair) for pair in zip(reference, tensors, strict=True)), name


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_rate_of_an_epoch_is_the_one_its_last_batch_was_trained_with(
    name: str, summary: Summary, splits: Splits
) -> None:
    """The rate is read from the optimizer, because the get_lr of ExponentialLR, for example, returns the next rate."""
    training = Training(runs(scheduler=name, seeds=1)[0], summary, CPU)
    used: list[float] = []
    training.optimizer.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    epochs = fit(training, splits)
    batches = math.ceil(1077 / 32)
    assert [epoch.lr for epoch in epochs] == used[batches - 1 :: batches]


def test_an_epoch_is_every_example_once(summary: Summary, splits: Splits) -> None:
    """At a rate of 1e-30, weights do not change, so the mean training loss of an epoch is the training split's loss."""
    (run,) = runs(scheduler="constant", lr=1e-30, seeds=1)
    training = Training(run, summary, CPU)
    expected, _ = score(training.network, splits[0], summary, run.workload, CPU)
    epoch, *_ = fit(training, splits)
    assert epoch.train_loss == pytest.approx(expected, rel=1e-6)
    assert epoch.val_loss == score(training.network, splits[1], summary, run.workload, CPU)[0]


@pytest.mark.parametrize("name", ["constant", "plateau", "onecycle"])
def test_a_run_that_diverges_stops(name: str, summary: Summary, splits: Splits) -> None:
    epochs, _ = fitted(runs(scheduler=name, lr=1e12, seeds=1, epochs=40)[0], summary, splits)
    assert epochs[-1].diverged
    assert not any(epoch.diverged for epoch in epochs[:-1])
    assert len(epochs) < 40


def test_a_dead_run_stops_and_keeps_its_weights(squares: tuple[Summary, Splits]) -> None:
    summary, splits = squares
    for scheduler in ("constant", "plateau"):
        of_seeds = load(task="square-mlp", scheduler=scheduler, seeds=20).runs(10)
        trainings = [Training(run, summary, CPU) for run in of_seeds]
        dead = next(training for training in trainings if training.is_dead(splits[1]))
        before = [weight.clone() for weight in dead.network.parameters()]
        epochs = fit(dead, splits)
        assert len(epochs) == 1
        assert epochs[0].val_loss == pytest.approx(1.983, abs=5e-4)
        assert all(torch.equal(*pair) for pair in zip(before, dead.network.parameters(), strict=True))


def test_a_run_with_batch_norm_is_not_stopped_as_dead(summary: Summary, splits: Splits) -> None:
    """The running averages still change, so a later batch may yield a gradient; only at the end is the run dead."""
    (run,) = runs(
        scheduler="constant", seeds=1, **{"tasks__digits-mlp__model": {"name": "tests.training.fitting:normed"}}
    )
    training = Training(run, summary, CPU)
    for weight in [*training.network.parameters()][-2:]:
        weight.requires_grad_(False).zero_()  # so there is no gradient, and all outputs are equal
    assert training.is_dead(splits[1])
    assert len(fit(training, splits)) == 3
    assert training.outcome(splits[1]) == "dead"


def test_epochs_are_recorded_at_an_interval_and_at_the_end(squares: tuple[Summary, Splits]) -> None:
    summary, splits = squares
    curves = {}
    for every in (1, 10):
        changes = {"tasks__square-mlp__epochs": 37, "tasks__square-mlp__record_every": every}
        for run in load(task="square-mlp", scheduler=["cosine", "plateau"], seeds=[25], **changes).runs(10):
            curves[run.scheduler, every] = fit(Training(run, summary, CPU), splits)
    for scheduler in ("cosine", "plateau"):
        assert len(curves[scheduler, 1]) == 37
        assert curves[scheduler, 10] == [curves[scheduler, 1][epoch - 1] for epoch in (10, 20, 30, 37)]


@pytest.mark.parametrize(("scheduler", "figure"), [("cosine", 0.0025), ("exponential", 0.0035), ("constant", 0.0024)])
def test_square_mlp_from_the_same_weights(scheduler: str, figure: float, squares: tuple[Summary, Splits]) -> None:
    """With seed 25, the sum of squared errors over nine points is that of an independent run of the recipe."""
    summary, splits = squares
    (run,) = load(task="square-mlp", scheduler=scheduler, seeds=[25]).runs(10)
    *_, last = fit(Training(run, summary, CPU), splits)
    assert last.epoch == 2000
    assert last.val_loss == pytest.approx(figure, rel=0.025)


def test_one_batch_of_the_summed_loss_is_the_sum_of_ten_gradients(squares: tuple[Summary, Splits]) -> None:
    summary, splits = squares
    (run,) = load(task="square-mlp", scheduler="constant", seeds=[25], **{"tasks__square-mlp__epochs": 1}).runs(10)
    by_hand = Training(run, summary, CPU).network
    for x, y in zip(splits[0].x, splits[0].y, strict=True):
        torch.square(by_hand(x[None])[0, 0] - y).backward()  # the published code also adds up gradients
    training = Training(run, summary, CPU)
    fit(training, splits)
    for ours, theirs in zip(training.network.parameters(), by_hand.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_denormal_numbers_are_flushed(summary: Summary) -> None:
    Training(runs(seeds=1)[0], summary, CPU)
    assert (torch.tensor([1e-30]) * 1e-10).item() == 0


@pytest.mark.parametrize("task", ["mnist-mlp", "imdb-lstm"])
def test_the_number_of_threads_changes_nothing(task: str) -> None:
    """Full-size networks trained on noise have the same bits with any number of threads that is allowed."""
    noise = torch.Generator().manual_seed(0)
    changes: dict[str, Any] = {}
    if task == "mnist-mlp":
        summary = Summary("mnist", {}, "image", "", "", [str(each) for each in range(10)], 255, [1, 28, 28], 0, {}, {})
        x = torch.randint(0, 256, (512, 1, 28, 28), generator=noise, dtype=torch.uint8)
        y = torch.randint(0, 10, (512,), generator=noise)
    else:
        summary = Summary("imdb", {}, "text", "", "", ["neg", "pos"], 1, [40], 25_000, {}, {})
        x, y = torch.randint(1, 25_000, (64, 40), generator=noise), torch.randint(0, 2, (64,), generator=noise)
        x[torch.arange(40) >= torch.randint(3, 41, (64, 1), generator=noise)] = 0
        changes = {"optimizer": "adam", "tasks__imdb-lstm__max_length": 40}
    (run,) = load(task=task, scheduler="cosine", seeds=1, **{f"tasks__{task}__epochs": 1}, **changes).runs(len(x))
    split = Split(x, y)
    found = []
    for cores in (1, 2, 4):
        use_threads(cores, run.workload, Training(run, summary, CPU).network)
        try:
            found.append(fitted(run, summary, (split, split)))
        finally:
            torch.set_num_threads(1)
    for epochs, weights in found[1:]:
        assert epochs == found[0][0]
        assert equal(weights, found[0][1])
