"""Runs that are trained together: each as if it were alone, to the last bit; and as the plain loop, to rounding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.data import Split, Summary
from pipeline.params import Run
from pipeline.training import together as ways
from pipeline.training.batches import Examples
from pipeline.training.epoch import Epoch
from pipeline.training.loop import train
from pipeline.training.stacks import thread_invariant
from pipeline.training.state import Training
from pipeline.training.together import Way, way
from tests.conftest import SCHEDULERS, load
from tests.schedules.mine import FALLING, RESTARTING
from tests.training.fitting import CPU, OPTIMIZERS, Splits, fit

Outcome = tuple[list[Epoch], dict[str, torch.Tensor]]


def together(runs: Sequence[Run], summary: Summary, splits: Splits) -> dict[str, Outcome]:
    """Train runs in stacks as large as they may be."""
    trainings = [Training(run, summary, CPU) for run in runs]
    most = ways.way(trainings[0], Examples(splits[0], summary, runs[0], CPU)).most
    for start in range(0, len(runs), most):
        for _ in train(trainings[start : start + most], *splits):
            pass
    return {each.run.name: (each.recorded, each.published.network.state_dict()) for each in trainings}


def bits(outcome: Outcome) -> tuple[str, list[bytes]]:
    epochs, weights = outcome
    return repr(epochs), [weight.numpy().tobytes() for weight in weights.values()]


@dataclass(frozen=True)
class Kind:
    """A kind of network, and what it is trained on."""

    stack: str
    task: str
    model: dict[str, Any]
    shape: tuple[int, ...]
    """Of an example; one number: a text of so many tokens."""
    changes: dict[str, Any]

    def runs(self, **changes: Any) -> list[Run]:
        own = {"model": self.model, "epochs": 2, "batch_size": 8, "normalize": None, **self.changes, **changes}
        general = {key: own.pop(key) for key in list(own) if key in ("scheduler", "optimizer", "lr") or "__" in key}
        of_task = {f"tasks__{self.task}__{key}": value for key, value in own.items()}
        return load(**{"task": self.task, "seeds": 1, **general, **of_task}).runs(20)

    @property
    def summary(self) -> Summary:
        if len(self.shape) == 1:
            return Summary("text", {}, "tokens", "", "", [], 0, [*self.shape], 11, {}, {})
        return Summary("pictures", {}, "image", "", "", list("0123456789"), 255, [*self.shape], 0, {}, {})

    @property
    def splits(self) -> Splits:
        """Twenty examples, so that the last batch of an epoch is half of one."""
        generator = torch.Generator().manual_seed(0)
        if len(self.shape) == 1:
            windows = torch.randint(0, 11, (30, self.shape[0] + 1), generator=generator, dtype=torch.uint8)
            x, y = windows[:, :-1], windows[:, 1:]
        else:
            x = torch.randint(0, 256, (30, *self.shape), generator=generator, dtype=torch.uint8)
            y = torch.randint(0, 10, (30,), generator=generator, dtype=torch.uint8)
        return Split(x[:20], y[:20]), Split(x[20:], y[20:])


class Residual(nn.Module):
    """A network of the user's own, that is no row of layers, and draws random numbers."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(shape[1] * shape[2], 16), nn.Linear(16, 16)
        self.norm, self.last = nn.BatchNorm1d(16), nn.Linear(16, classes)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = torch.relu(self.first(x.mean(dim=1).flatten(1)))
        states = states + nn.functional.dropout(self.norm(self.second(states)), 0.2, self.training)
        logits: torch.Tensor = self.last(states)
        return logits


CNN = {"name": "cnn", "channels": [4, 6], "hidden": [8], "dropout": 0.5}
GPT = {"name": "gpt", "layers": 1, "heads": 2, "width": 8, "dropout": 0.1}
KINDS = {
    "mlp": Kind("row", "mnist-mlp", {"name": "mlp", "hidden": [16, 8]}, (1, 8, 8), {}),
    "lenet": Kind("row", "cifar10-lenet", {"name": "lenet", "channels": [2, 3], "hidden": [8]}, (3, 16, 16), {}),
    "cnn": Kind(
        "row", "mnist-cnn", {"name": "cnn", "channels": [4, 6], "hidden": [8], "dropout": 0.5}, (1, 20, 16), {}
    ),
    "resnet": Kind("mapped", "cifar10-lenet", {"name": "cifar-resnet", "depth": 8}, (3, 6, 5), {}),
    "gpt": Kind("mapped", "imdb-gpt", GPT, (6,), {"train_subset": 20}),
    "own": Kind("mapped", "mnist-mlp", {"name": "tests.training.test_stacks:Residual"}, (2, 6, 6), {}),
}


@pytest.fixture(autouse=True)
def _everything_is_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what is no faster as a stack on a CPU."""
    monkeypatch.setattr(ways, "MAPPED", 2**40)
    monkeypatch.setattr(ways, "_ways", {})


@pytest.mark.parametrize("name", KINDS)
def test_no_run_of_any_network_depends_on_its_stack(name: str) -> None:
    """Alone, in twos, in threes and all at once, in another order: the same bits, whatever the place."""
    kind = KINDS[name]
    summary, splits = kind.summary, kind.splits
    names = ["constant", "onecycle", "ema", "swa", "schedule-free"]
    averages = {"schedulers__ema__average__decay": 0.5, "schedulers__swa__start": 1}
    runs = kind.runs(scheduler=names, clip_grad_norm=0.5, lr=0.05, **averages)
    first = Training(runs[0], summary, CPU)
    assert way(first, Examples(splits[0], summary, runs[0], CPU)).stack == kind.stack
    expected = together(runs, summary, splits)
    assert len({repr(bits(outcome)) for outcome in expected.values()}) == len(runs)
    for size in (1, 2, 3):
        for start in range(0, len(runs), size):
            found = together(runs[start : start + size][::-1], summary, splits)
            for run_name, outcome in found.items():
                assert bits(outcome) == bits(expected[run_name]), (run_name, size)


@pytest.mark.parametrize("name", KINDS)
def test_any_network_in_a_stack_is_the_plain_loop_to_rounding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same random numbers for dropout, and the same statistics of batch norm."""
    kind = KINDS[name]
    summary, splits = kind.summary, kind.splits
    runs = kind.runs(scheduler=["constant", "ema"], accumulate=2, lr=0.05)
    found = together(runs, summary, splits)
    monkeypatch.setattr(ways, "way", lambda *_: Way())
    for run in runs:
        assert_alike(together([run], summary, splits)[run.name], found[run.name])


def assert_alike(expected: Outcome, found: Outcome) -> None:
    for one, other in zip(found[0], expected[0], strict=True):
        assert one.lr == pytest.approx(other.lr)
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)
    for name, weight in expected[1].items():
        if name.endswith("attention.inputs.bias"):  # gradients of its keys are nothing but rounding
            continue
        assert torch.allclose(weight, found[1][name], rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["lenet", "gpt"])
def test_every_optimizer_in_stacks(name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a row and of what is mapped: the same bits alone, and those of the plain loop to rounding."""
    kind = KINDS[name]
    summary, splits = kind.summary, kind.splits
    changes = {"optimizers__mine": OPTIMIZERS[optimizer], "optimizer": "mine", "epochs": 1, "lr": 0.01}
    runs = kind.runs(scheduler=["cosine", "onecycle"], **changes)
    found = together(runs, summary, splits)
    assert bits(together(runs[:1], summary, splits)[runs[0].name]) == bits(found[runs[0].name])
    monkeypatch.setattr(ways, "way", lambda *_: Way())
    assert_alike(together(runs[:1], summary, splits)[runs[0].name], found[runs[0].name])


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


def test_every_scheduler_in_a_stack_is_the_plain_loop_to_rounding(
    summary: Summary,
    few: Splits,
    squares: tuple[Summary, Splits],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the two tasks whose networks are small."""
    for task, epochs, (of, with_parts) in (("digits-mlp", 5, (summary, few)), ("square-mlp", 50, squares)):
        changes: dict[str, Any] = {"task": task, "scheduler": "all", "seeds": 1, f"tasks__{task}__epochs": epochs}
        runs = load(**changes).runs(len(with_parts[0]))
        found = together(runs, of, with_parts)
        with monkeypatch.context() as patch:
            patch.setattr(ways, "way", lambda *_: Way())
            for run in runs:
                assert_alike(together([run], of, with_parts)[run.name], found[run.name])


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


def chosen(task: str, shape: list[int], kind: Any = "image", **changes: Any) -> Way:
    """How runs of a task are trained on a CPU."""
    run = load(task=task, seeds=1, scheduler="cosine", **changes).runs(5000)[0]
    classes = list("01" if kind == "text" else "0123456789")
    summary = Summary("any", {}, kind, "", "", classes, 255, shape, 30 if kind != "image" else 0, {}, {})
    x = torch.ones(2, *shape, dtype=torch.uint8 if kind == "image" else torch.int64)
    y = torch.zeros(2, *shape[: 1 if kind == "tokens" else 0], dtype=torch.int64)
    return way(Training(run, summary, CPU), Examples(Split(x, y), summary, run, CPU))


def test_which_networks_are_trained_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of `pipeline.training.together`, for a CPU."""
    monkeypatch.undo()
    monkeypatch.setattr(ways, "_ways", {})
    assert chosen("digits-mlp", [1, 8, 8]) == Way("row", 1, 16)
    assert chosen("digits-mlp", [1, 8, 8], **{"tasks__digits-mlp__batch_size": 1000}) == Way()
    assert chosen("mnist-mlp", [1, 28, 28]) == Way()
    assert chosen("cifar10-lenet", [3, 32, 32]) == Way("row", 4, 4)
    assert chosen("mnist-cnn", [1, 28, 28]) == Way()
    assert chosen("mnist-cnn", [1, 28, 28], **{"tasks__mnist-cnn__batch_size": 16}) == Way("row", 4, 4)
    assert chosen("cifar10-lenet", [3, 32, 32], **{"tasks__cifar10-lenet__batch_size": 128}) == Way()
    assert chosen("imdb-gpt", [64], "tokens") == Way()
    assert chosen("imdb-gpt", [4], "tokens", **{"tasks__imdb-gpt__batch_size": 2}) == Way("mapped", 8, 8)


class Counting(nn.Module):
    """A network that looks at its numbers, which cannot be mapped."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits if logits.max().item() < 1e9 else logits * 2


class Forgetful(nn.Module):
    """A network that learns something else at each call, which `vmap` calls once for all."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(64, classes), 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls = float(self.calls) + 1
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits * (1 if torch._C._functorch.is_batchedtensor(x) else 1 + self.calls)


@pytest.mark.parametrize(
    ("network", "reason"), [(Counting, "item()"), (Forgetful, "compute something else than each by itself")]
)
def test_what_cannot_be_mapped_is_trained_alone_with_the_reason(network: type[nn.Module], reason: str) -> None:
    model = {"name": f"tests.training.test_stacks:{network.__name__}"}
    found = chosen("digits-mlp", [1, 8, 8], **{"tasks__digits-mlp__model": model})
    assert (found.stack, found.most) == (None, 1)
    assert reason in found.reason


def by_line(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A row of layers whose first works on each line of a picture."""
    return nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(32, classes))


def flat(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16, bias=False), nn.Sequential(nn.GELU()), nn.Linear(16, classes))


@pytest.mark.parametrize(("network", "expected"), [("flat", Way("row", 1, 16)), ("by_line", Way("mapped", 8, 8))])
def test_a_row_of_the_users_own_is_tried_first(network: str, expected: Way) -> None:
    model = {"name": f"tests.training.test_stacks:{network}"}
    assert chosen("digits-mlp", [1, 8, 8], **{"tasks__digits-mlp__model": model}) == expected


def test_an_lstm_is_trained_alone_with_the_reason() -> None:
    assert chosen("imdb-lstm", [12], "text").reason == "torch.func cannot map an LSTM, a GRU or an RNN"


def settled(task: str, summary: Summary, **changes: Any) -> tuple[torch.nn.Module, int]:
    run = load(task=task, seeds=1, scheduler="cosine", **changes).runs(200)[0]
    return Training(run, summary, CPU).network, run.batch_size


def test_which_networks_are_trained_with_several_threads(summary: Summary) -> None:
    pictures = Summary("mnist", {}, "image", "", "", [str(each) for each in range(10)], 255, [1, 28, 28], 0, {}, {})
    user = {"tasks__digits-mlp__model": {"name": "tests.training.fitting:plain"}}
    assert thread_invariant(*settled("mnist-mlp", pictures))
    assert not thread_invariant(*settled("mnist-cnn", pictures))
    assert not thread_invariant(*settled("digits-mlp", summary))
    assert not thread_invariant(*settled("digits-mlp", summary, **user))
