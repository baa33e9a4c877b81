"""A run that is stopped at any point and resumed ends with the same bits as a run that is never stopped."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from pipeline.datasets import Summary
from pipeline.errors import DamagedError
from pipeline.runs import records
from pipeline.runs.params import Run
from pipeline.sweep import checkpoint
from pipeline.sweep.cache import CHECKPOINTS
from pipeline.sweep.checkpoint import Checkpoint, Pace
from pipeline.training.state import Training
from tests.helpers.project import EVERYTHING, SCHEDULERS, load
from tests.schedules.mine import FALLING, RESTARTING
from tests.sweep.sweeping import swept
from tests.training.conftest import few as few
from tests.training.conftest import splits as splits
from tests.training.fitting import CPU, OPTIMIZERS, Splits, fit

DROPS = {"name": "tests.training.fitting:drops"}
BATCHES = 7  # 200 examples in batches of 32


def through_a_file(training: Training, path: Path) -> Checkpoint:
    kept = Checkpoint(path)
    kept.save(training.state_dict())
    return kept


def assert_exact(run: Run, summary: Summary, few: Splits, stops: set[int], folder: Path) -> None:
    """Train a run with a checkpoint before each batch in ``stops``, and check that resuming gives the same bits."""
    whole = Training(run, summary, CPU)
    saved = []
    passed = iter(range(10**9))

    def between() -> None:
        if (number := next(passed)) in stops:
            saved.append(through_a_file(whole, folder / str(number)))

    epochs = fit(whole, few, between)
    assert len(saved) == len(stops)
    for each in saved:
        torch.manual_seed(12345)  # another process has another random state
        training = Training(run, summary, CPU)
        state = each.load()
        assert state is not None
        training.load_state_dict(state)
        known = len(training.recorded)
        assert training.recorded == epochs[:known]
        assert repr(fit(training, few)) == repr(epochs[known:]), each.path  # because nan != nan
        for name, weight in whole.network.state_dict().items():
            other = training.network.state_dict()[name]
            assert weight.numpy().tobytes() == other.numpy().tobytes(), (each.path, name)  # because nan != nan


OTHERS = [
    (scheduler, optimizer)
    for scheduler in ("plateau", "cyclic", "onecycle", "sequential")
    for optimizer in ("adam", "adamw", "rmsprop")
]
"""Special schedules, each with three optimizers: one follows the loss, two can cycle momentum, one is composed."""


@pytest.mark.parametrize(("scheduler", "optimizer"), [*((name, "sgd") for name in SCHEDULERS), *OTHERS])
def test_every_scheduler_and_optimizer(
    scheduler: str, optimizer: str, summary: Summary, few: Splits, tmp_path: Path
) -> None:
    """Checkpoints are before the first batch, within epochs, at the end of epochs, and before the last batch."""
    changes = {"tasks__digits-mlp__epochs": 6}
    (run,) = load(scheduler=scheduler, optimizer=optimizer, lr=0.01, seeds=1, **changes).runs(200)
    stops = {0, 3, BATCHES, 2 * BATCHES - 1, 3 * BATCHES, 4 * BATCHES + 4, 6 * BATCHES - 1}
    assert_exact(run, summary, few, stops, tmp_path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_torch(name: str, summary: Summary, few: Splits, tmp_path: Path) -> None:
    changes = {"optimizers__mine": OPTIMIZERS[name], "optimizer": "mine", "tasks__digits-mlp__epochs": 3}
    (run,) = load(scheduler="onecycle", lr=0.01, seeds=1, **changes).runs(200)
    assert_exact(run, summary, few, {0, 1, BATCHES + 3}, tmp_path)


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ("momentum", {"tasks__digits-mlp__optimizers": {"sgd": {"momentum": 0.9, "nesterov": True}}}),
        ("amsgrad", {"optimizer": "adam", "optimizers__adam__amsgrad": True}),
        ("momentum of rmsprop", {"optimizer": "rmsprop", "optimizers__rmsprop__momentum": 0.5}),
        ("cycled momentum", {"scheduler": "cyclic", "schedulers__cyclic__cycle_momentum": True}),
        ("cycled betas", {"scheduler": "onecycle", "schedulers__onecycle__cycle_momentum": True, "optimizer": "adam"}),
        ("every batch", {"scheduler": "cosine-restarts", "schedulers__cosine-restarts__interval": "batch"}),
        ("dropout", {"tasks__digits-mlp__model": DROPS}),
        ("tied weights", {"tasks__digits-mlp__model": {"name": "tests.training.fitting:tied"}}),
        ("batch norm and convolutions", {"tasks__digits-mlp__model": {"name": "cifar-resnet", "depth": 8}}),
        ("records", {"tasks__digits-mlp__record_every": 4}),
        ("one batch", {"tasks__digits-mlp__batch_size": 500}),
        ("a user's schedule", {"schedulers__cosine": FALLING}),
        ("a schedule without load_state_dict", {"schedulers__cosine": RESTARTING | {"interval": "batch"}}),
        ("diverges", {"lr": 1e12}),
        ("everything else", {f"tasks__digits-mlp__{key}": value for key, value in EVERYTHING.items()}),
        ("alone", {"tasks__digits-mlp__accumulate": 3, "tasks__digits-mlp__model": DROPS}),
    ],
)
def test_other_settings(
    settings: str,
    changes: dict[str, Any],
    summary: Summary,
    few: Splits,
    tmp_path: Path,
) -> None:
    epochs = 2 if settings == "batch norm and convolutions" else 6
    changes = {"scheduler": "cosine", "seeds": [3], "tasks__digits-mlp__epochs": epochs} | changes
    (run,) = load(**changes).runs(200)
    stops = {3} if settings in ("diverges", "one batch") else {0, 4, BATCHES, 3 * BATCHES + 2, 5 * BATCHES}
    stops = {3, BATCHES + 2} if epochs == 2 else stops
    assert_exact(run, summary, few, stops, tmp_path)


def test_a_run_that_is_stopped_several_times_in_an_epoch(summary: Summary, few: Splits, tmp_path: Path) -> None:
    (run,) = load(scheduler="cosine", seeds=1, **{"tasks__digits-mlp__epochs": 4}).runs(200)
    undisturbed = Training(run, summary, CPU)
    epochs = fit(undisturbed, few)
    checkpoint, passed = Checkpoint(tmp_path / "run"), 0

    class StopError(Exception):
        pass

    for stop in (BATCHES + 1, BATCHES + 2, BATCHES + 4, 2 * BATCHES, 3 * BATCHES - 1, None):
        training = Training(run, summary, CPU)
        if state := checkpoint.load():
            training.load_state_dict(state)

        def between(training: Training = training, stop: int | None = stop) -> None:
            nonlocal passed
            if passed == stop:
                checkpoint.save(training.state_dict())
                raise StopError
            passed += 1

        with suppress(StopError):
            fit(training, few, between)
    assert training.recorded == epochs
    for name, weight in undisturbed.network.state_dict().items():
        assert torch.equal(weight, training.network.state_dict()[name])


def test_a_state_is_read_back_as_written(tmp_path: Path) -> None:
    state: dict[Any, Any] = {
        "numbers": [0, -1, 0.1, 1e-300, float("inf"), True, None, "text"],
        3: {"by number": (torch.arange(3), (torch.tensor(2.5), [])), "counts": Counter({4: 2, 9: 1})},
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "view": torch.arange(12).reshape(3, 4).T,
    }
    kept = Checkpoint(tmp_path / "new" / "folder" / "run")
    assert kept.load() is None
    kept.save(state)
    found: dict[Any, Any] | None = kept.load()
    assert found is not None
    assert found["numbers"] == state["numbers"]
    assert found["half"].dtype == torch.bfloat16
    assert torch.equal(found["view"], state["view"])
    assert list(found) == list(state)
    assert found[3]["counts"] == state[3]["counts"]
    assert found[3]["counts"][5] == 0
    assert torch.equal(found[3]["by number"][0], torch.arange(3))
    assert isinstance(found[3]["by number"], tuple)
    with pytest.raises(TypeError, match="cannot hold object"):
        kept.save({"x": object()})
    assert kept.load() is not None  # the earlier state was kept
    assert list((tmp_path / "new" / "folder").iterdir()) == [kept.path]


def test_the_file_is_safetensors_after_its_first_line(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "run").save({"weights": torch.ones(3)})
    (tmp_path / "rest").write_bytes((tmp_path / "run").read_bytes().partition(b"\n")[2])
    with safe_open(tmp_path / "rest", "pt") as file:
        assert json.loads(file.metadata()["state"]) == {"dict": [["weights", {"tensor": "0"}]]}
        assert torch.equal(file.get_tensor("0"), torch.ones(3))


def damaged(content: bytes) -> Iterator[bytes]:
    yield b""
    yield content[:40]
    yield content[:-1]
    yield content + b"x"
    for place in range(0, len(content), max(1, len(content) // 50)):
        yield content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_a_damaged_checkpoint_is_noticed(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "run")
    kept.save({"weights": torch.ones(30), "epoch": 3})
    for content in damaged(kept.path.read_bytes()):
        kept.path.write_bytes(content)
        with pytest.raises(DamagedError, match=str(kept.path)):
            kept.load()


def test_saves_are_rare_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves happen at fixed intervals; if they are slow, they may take only a limited share of the time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def saves(pace: Pace, seconds: int, cost: float) -> int:
        number, end = 0, now[0] + seconds
        while now[0] < end:
            now[0] += 0.5
            if pace.due():
                with pace.saving():
                    now[0] += cost
                number += 1
        return number

    assert saves(Pace(5), 100, cost=0.0) == 20
    assert 1000 * 0.025 < saves(Pace(5), 1000, cost=1.0) <= 1000 * checkpoint.SHARE + 1
    pace = Pace(5)
    pace.cease()
    assert saves(pace, 1000, cost=0.0) == 0


def test_a_sweep_reports_a_damaged_checkpoint_and_a_folder_that_cannot_be_written(digits: Path, tmp_path: Path) -> None:
    of = load(scheduler="cosine", seeds=1, **{"tasks__digits-mlp__epochs": 2}).runs(1077)
    (expected,) = swept(of, digits, tmp_path / "undisturbed")
    stopped = tmp_path / "damaged" / "cache" / CHECKPOINTS / expected.record.fingerprint
    stopped.parent.mkdir(parents=True)
    stopped.write_bytes(b"altered")
    (found,) = swept(of, digits, tmp_path / "damaged")
    assert found.origin == "trained"
    (complaint,) = found.complaints
    assert complaint.startswith("is trained from its start because its checkpoint is damaged")
    assert str(stopped) in complaint
    assert not stopped.exists()

    blocked = tmp_path / "blocked" / "cache" / CHECKPOINTS
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the folder should be")
    (again,) = swept(of, digits, tmp_path / "blocked", checkpoint_every=0)
    assert again.complaints == ("has no checkpoint: File exists",)
    for one in (found, again):
        assert one.record.epochs == expected.record.epochs
    name = of[0].name
    folders = [tmp_path / each / "models" / name for each in ("undisturbed", "damaged", "blocked")]
    assert len({(folder / records.WEIGHTS).read_bytes() for folder in folders}) == 1
