import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import data
from pipeline.data import Split, Summary
from pipeline.params import Run
from pipeline.training import loop as training
from pipeline.training import networks as models
from pipeline.training.epoch import Epoch
from pipeline.training.loop import Training
from tests.conftest import SCHEDULERS, load

CPU = torch.device("cpu")


def runs(**changes: Any) -> list[Run]:
    return load(**{"tasks__digits-mlp__epochs": 3, **changes}).runs(examples=1077)


@pytest.fixture(scope="module")
def parts(digits: Path) -> tuple[Split, Split]:
    return data.read(digits, "train"), data.read(digits, "val")


def trained(run: Run, summary: Summary, parts: tuple[Split, Split]) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    each = Training(run, summary, CPU)
    return list(each.epochs(*parts)), each.model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_the_same_run_gives_the_same_bits(optimizer: str, summary: Summary, parts: tuple[Split, Split]) -> None:
    run = runs(scheduler="onecycle", optimizer=optimizer, lr=0.01, seeds=1)[0]
    first, second = (trained(run, summary, parts) for _ in range(2))
    assert first[0] == second[0]
    assert same(first[1], second[1])


def test_seeds_differ(summary: Summary, parts: tuple[Split, Split]) -> None:
    first, second = (trained(run, summary, parts) for run in runs(scheduler="constant", seeds=2))
    assert first[0] != second[0]
    assert not same(first[1], second[1])


def test_schedulers_are_paired(summary: Summary, parts: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch) -> None:
    """Under every scheduler a seed has the same first weights and sees the same examples in the same order."""
    seen: dict[str, list[torch.Tensor]] = {}
    pixels = training.inputs

    for run in runs(scheduler="all", seeds=1):
        batches: list[torch.Tensor] = []

        def spy(x: torch.Tensor, of: Summary, its: Run, batches: list[torch.Tensor] = batches) -> torch.Tensor:
            batches.append(x)
            return pixels(x, of, its)

        monkeypatch.setattr(training, "inputs", spy)
        each = Training(run, summary, CPU)
        weights = [weight.clone() for weight in each.model.state_dict().values()]
        assert len(list(each.epochs(*parts))) == 3
        seen[run.name] = weights + batches
    reference = seen.pop("constant-s0")
    assert len(seen) == len(SCHEDULERS) - 1
    for name, tensors in seen.items():
        assert all(torch.equal(*pair) for pair in zip(reference, tensors, strict=True)), name


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_rate_of_an_epoch_is_what_its_last_batch_was_trained_with(
    name: str, summary: Summary, parts: tuple[Split, Split]
) -> None:
    """As the optimizer saw it; ExponentialLR's get_lr, for one, answers the next rate."""
    each = Training(runs(scheduler=name, seeds=1)[0], summary, CPU)
    used: list[float] = []
    each.optimizer.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    epochs = list(each.epochs(*parts))
    batches = math.ceil(1077 / 32)
    assert [epoch.lr for epoch in epochs] == used[batches - 1 :: batches]


def test_an_epoch_is_every_example_once(summary: Summary, parts: tuple[Split, Split]) -> None:
    """At rate 1e-30 nothing changes, so that an epoch's mean training loss is the loss of the training part."""
    each = Training(runs(scheduler="constant", lr=1e-30, seeds=1)[0], summary, CPU)
    expected, _ = training.score(each.model, parts[0], summary, runs(seeds=1)[0], CPU)
    epoch = next(each.epochs(*parts))
    assert epoch.train_loss == pytest.approx(expected, rel=1e-6)
    assert epoch.val_loss == training.score(each.model, parts[1], summary, runs(seeds=1)[0], CPU)[0]


@pytest.mark.parametrize("name", ["constant", "plateau", "onecycle"])
def test_a_run_that_diverges_stops(name: str, summary: Summary, parts: tuple[Split, Split]) -> None:
    run = runs(scheduler=name, lr=1e12, seeds=1, **{"tasks__digits-mlp__epochs": 40})[0]
    epochs, _ = trained(run, summary, parts)
    assert epochs[-1].diverged
    assert not any(epoch.diverged for epoch in epochs[:-1])
    assert len(epochs) < 40


def test_plateau_would_take_nan_for_no_better() -> None:
    """Why a diverged run must stop: PyTorch's scheduler goes on and shrinks the rate."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(3):
        scheduler.step(math.nan)
    assert scheduler.get_last_lr()[0] < 1


def test_denormal_numbers_are_flushed(summary: Summary) -> None:
    Training(runs(seeds=1)[0], summary, CPU)
    assert (torch.tensor([1e-30]) * 1e-10).item() == 0


def test_score_is_the_mean_over_examples(summary: Summary, parts: tuple[Split, Split], monkeypatch: Any) -> None:
    network = Training(runs(seeds=1)[0], summary, CPU).model
    at_once = training.score(network, parts[0], summary, runs(seeds=1)[0], CPU)
    monkeypatch.setattr(training, "SCORING_BATCH", {"image": 100})
    in_parts = training.score(network, parts[0], summary, runs(seeds=1)[0], CPU)
    assert in_parts == pytest.approx(at_once, rel=1e-6)
    x, y = training.inputs(parts[0].x, summary, runs(seeds=1)[0]), parts[0].y.long()
    assert at_once[0] == pytest.approx(torch.nn.functional.cross_entropy(network(x), y).item(), rel=1e-6)
    assert at_once[1] == (network(x).argmax(1) == y).double().mean().item()


def test_inputs_are_pixels_between_0_and_1(summary: Summary, parts: tuple[Split, Split]) -> None:
    pixels = training.inputs(parts[0].x, summary, runs(seeds=1)[0])
    assert (pixels.min().item(), pixels.max().item(), pixels.dtype) == (0, 1, torch.float32)


def test_mnist_mlp_is_the_published_network() -> None:
    run = load(task="mnist-mlp", scheduler="cosine").runs()[0]
    network = models.build(run.model.model_dump(), (1, 28, 28), 10)
    shapes = [tuple(weight.shape) for weight in network.parameters()]
    assert shapes == [(512, 784), (512,), (256, 512), (256,), (10, 256), (10,)]
    published = {"lr": 0.1, "epochs": 50, "batch_size": 128, "loss": "cross-entropy", "optimizer": "sgd"}
    assert published.items() <= run.model_dump().items()
    assert run.flat()["optimizer.momentum"] == 0.9
    assert (run.flat()["scheduler.T_max"], run.flat()["scheduler.eta_min"]) == (50, 1e-6)


@pytest.mark.parametrize("task", ["mnist-mlp", "imdb-lstm"])
def test_the_number_of_threads_changes_nothing(task: str) -> None:
    """Of those networks that are trained with several: at their own sizes, on noise, to the last bit."""
    noise = torch.Generator().manual_seed(0)
    if task == "mnist-mlp":
        summary = Summary("mnist", {}, "image", "", "", [str(each) for each in range(10)], 255, [1, 28, 28], 0, {}, {})
        x = torch.randint(0, 256, (1024, 1, 28, 28), generator=noise, dtype=torch.uint8)
        y = torch.randint(0, 10, (1024,), generator=noise)
        changes: dict[str, Any] = {}
    else:
        summary = Summary("imdb", {}, "text", "", "", ["neg", "pos"], 1, [40], 25_000, {}, {})
        x, y = torch.randint(1, 25_000, (64, 40), generator=noise), torch.randint(0, 2, (64,), generator=noise)
        x[torch.arange(40) >= torch.randint(3, 41, (64, 1), generator=noise)] = 0
        changes = {"optimizer": "adam", "tasks__imdb-lstm__max_length": 40}
    (run,) = load(task=task, scheduler="cosine", seeds=1, **{f"tasks__{task}__epochs": 2}, **changes).runs(len(x))
    part = Split(x, y)
    found = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        try:
            found.append(trained(run, summary, (part, part)))
        finally:
            torch.set_num_threads(1)
    assert training.steady(Training(run, summary, CPU))
    for epochs, weights in found[1:]:
        assert epochs == found[0][0]
        assert same(weights, found[0][1])


def test_which_networks_are_trained_with_several_threads(summary: Summary) -> None:
    def steady(task: str, of: Summary = summary, **changes: Any) -> bool:
        run = load(task=task, seeds=1, scheduler="cosine", **changes).runs(100)[0]
        return training.steady(Training(run, of, CPU))

    small = {"name": "mlp", "hidden": [64, 32], "activation": "relu", "output": "linear"}
    own = {"name": "tests.sweep.test_checkpoint:drops"}
    pictures = Summary("mnist", {}, "image", "", "", [str(each) for each in range(10)], 255, [1, 28, 28], 0, {}, {})
    assert steady("mnist-mlp", pictures)
    assert not steady("mnist-cnn", pictures)
    assert not steady("digits-mlp", **{"tasks__digits-mlp__model": small})
    assert not steady("digits-mlp", **{"tasks__digits-mlp__model": own})
