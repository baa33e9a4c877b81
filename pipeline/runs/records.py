"""Reads and writes records of trained runs. Records contain no times, so the same inputs always give the same files.

models/<run>/run.json            settings and outcome
models/<run>/curve.csv           the figures of each epoch
models/<run>/model.safetensors   weights
models/sweep.json                index of the sweep, written when all of its runs are trained
"""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pipeline import problems
from pipeline.errors import UserError
from pipeline.files import replacing, write_text
from pipeline.runs.epoch import Epoch, figure_names
from pipeline.runs.params import Run

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Record:
    """A trained run: its settings, its outcome and its curve."""

    run: Run
    outcome: Literal["finished", "diverged", "dead"]
    """How the run ended.

    A run is `diverged` if it was stopped because a figure was NaN or infinite. A run is `dead` if its network returns
    the same output for all validation examples. A dead run stops once no weight can change any more.
    """
    epochs: list[Epoch]
    device: str
    """The kind of device, such as cpu or cuda."""
    torch: str
    """The version of torch."""
    fingerprint: str
    """A digest of everything that the result depends on; see `pipeline.runs.fingerprint`."""

    @property
    def last(self) -> Epoch:
        """The last recorded epoch."""
        return self.epochs[-1]


@dataclass(frozen=True)
class Timing:
    """When a run was trained, and for how long. The run cache and MLflow store these times, but DVC does not."""

    started: float
    """The start time, in seconds since 1970."""
    seconds: float
    """The duration of the training, in seconds."""


@dataclass(frozen=True)
class Stable:
    """The base rates at which an optimizer trains well, as measured by a range test."""

    low: float
    """The lowest rate at which the loss begins to fall within the length of a run."""
    high: float | None
    """The highest stable rate, or None if every tested rate is stable."""
    grid: list[float]
    """The base rates that the range test suggests."""

    def holds(self, rate: float) -> bool:
        """Return True if ``rate`` is in the stable range."""
        return self.low <= rate and (self.high is None or rate <= self.high)


@dataclass(frozen=True)
class Sweep:
    """The index of a trained sweep."""

    task: str
    runs: list[str]
    """The names of the runs, in the order of the sweep."""
    fingerprint: str
    """A digest of the sweep's settings and of everything that the sweep's first run depends on."""
    stable: dict[str, Stable] = field(default_factory=dict)
    """Maps the names of optimizers to their stable rates. Optimizers without a range test are left out."""


def write(target: Path, record: Record, weights: bytes) -> None:
    """Atomically write a run's record, and its weights in the safetensors format, to the folder ``target``."""
    settings = asdict(record) | {"run": record.run.model_dump(mode="json", by_alias=True)}
    del settings["epochs"]
    with replacing(target) as folder:
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        with (folder / "curve.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            names = figure_names(record.epochs)
            writer.writerow(["epoch", "lr", *names])
            writer.writerows([epoch.epoch, epoch.lr, *map(epoch.figures.get, names)] for epoch in record.epochs)
        (folder / WEIGHTS).write_bytes(weights)


def read(folder: Path, run: Run | None = None) -> Record:
    """Return the record of the run in ``folder``.

    Args:
        folder: a folder written by `write`.
        run: the run, if it is already known. If None, the settings in the record are validated, which takes longer than
            all other steps.

    Raises:
        UserError: the record is missing or damaged.
    """
    try:
        settings = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with (folder / "curve.csv").open(newline="", encoding="utf-8") as file:
            epochs = [_epoch(row) for row in csv.DictReader(file)]
        if not epochs:
            raise ValueError("no epochs")
        return Record(**settings | {"run": run or Run.model_validate(settings["run"]), "epochs": epochs})
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = problems.summary(error, "run") if isinstance(error, ValidationError) else error
        raise UserError(f"{folder}: no readable record of a run ({reason}); run `uv run dvc repro` again") from None


def _epoch(row: dict[str, str]) -> Epoch:
    epoch, lr = int(row.pop("epoch")), float(row.pop("lr"))
    return Epoch(epoch, lr, {name: float(figure) for name, figure in row.items() if figure})


def finished(models: Path) -> Iterator[Record]:
    """Yield the record of each trained run in the folder ``models``, even if the sweep is not complete."""
    for settings in models.glob("[!.]*/run.json"):
        yield read(settings.parent)


def clear(models: Path) -> None:
    """Remove an earlier sweep from the folder ``models``, so that its runs do not appear in the next sweep."""
    if models.exists():
        (models / "sweep.json").unlink(missing_ok=True)
        for record in models.glob("*/run.json"):
            shutil.rmtree(record.parent)


def write_sweep(models: Path, sweep: Sweep) -> None:
    """Write the index of a trained sweep to the folder ``models``."""
    write_text(models / "sweep.json", json.dumps(asdict(sweep), indent=2) + "\n")


def read_sweep(models: Path) -> Sweep:
    """Return the index of the sweep in the folder ``models``.

    Raises:
        UserError: the index is missing because no sweep is complete, or the index is damaged.
    """
    path = models / "sweep.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stable = {name: Stable(**rates) for name, rates in content.pop("stable", {}).items()}
        index = Sweep(**content, stable=stable)
        if not index.runs:
            raise ValueError("no runs")
        if any(Path(name).name != name for name in index.runs):
            raise ValueError("a name of a run is a path")
        return index
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `uv run pipeline train` first") from None
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{path}: not the index of a sweep; run `uv run pipeline train` again") from None
