"""Records of trained runs on disk: settings and outcome, curve, weights. They have no clock in them.

models/<run>/run.json  models/<run>/curve.csv  models/<run>/model.safetensors
models/sweep.json      the runs of the sweep in its order, written once all are trained
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
    """Diverged: a loss was no longer a finite number, and the run was stopped. Dead: the network answers all examples
    alike; the run was stopped once nothing could change any more."""
    epochs: list[Epoch]
    device: str
    """Its kind, such as cpu or cuda."""
    torch: str
    """The version of torch that trained it."""
    fingerprint: str
    """Digest of all that the result depends on: see `pipeline.runs.fingerprint`."""

    @property
    def last(self) -> Epoch:
        """The figures that the run ended with."""
        return self.epochs[-1]


@dataclass(frozen=True)
class Timing:
    """The time of a run's training, for the run cache and MLflow; DVC's outputs depend on inputs alone."""

    started: float
    """Seconds since 1970."""
    seconds: float
    """Duration of the training."""


@dataclass(frozen=True)
class Stable:
    """The base rates at which an optimizer trains, as a range test finds them."""

    low: float
    """At a lower rate, a run is too short for the loss to fall."""
    high: float | None
    """The last stable rate; None if every rate that was tested is stable."""
    grid: list[float]
    """Rates to try."""

    def holds(self, rate: float) -> bool:
        """Return True unless the rate is too low or too high."""
        return self.low <= rate and (self.high is None or rate <= self.high)


@dataclass(frozen=True)
class Sweep:
    """The index of a trained sweep."""

    task: str
    runs: list[str]
    """Names, in the sweep's order."""
    fingerprint: str
    """Digest of what was asked, and of what its first run depends on."""
    stable: dict[str, Stable] = field(default_factory=dict)
    """Of each optimizer, by name; none if it was not tested."""


def write(target: Path, record: Record, weights: bytes) -> None:
    """Put the record of a run and its weights, in the safetensors format, into ``target``, whole or not at all."""
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
    """The record of a run in ``folder``.

    Args:
        folder: what `write` has put there.
        run: its settings, where they are known: to read them takes longer than all else.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        settings = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with (folder / "curve.csv").open(newline="", encoding="utf-8") as file:
            epochs = [_epoch(row) for row in csv.DictReader(file)]
        if not epochs:
            raise ValueError("no epochs")
        return Record(**settings | {"run": run or Run.model_validate(settings["run"]), "epochs": epochs})
    except ValidationError as error:
        raise UserError(
            f"{folder}: no readable record of a run ({problems.summary(error, 'run')}); run `dvc repro` again"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{folder}: no readable record of a run ({error}); run `dvc repro` again") from None


def _epoch(row: dict[str, str]) -> Epoch:
    epoch, lr = int(row.pop("epoch")), float(row.pop("lr"))
    return Epoch(epoch, lr, {name: float(figure) for name, figure in row.items() if figure})


def finished(models: Path) -> Iterator[Record]:
    """The runs under ``models``, of a sweep that need not have come to its end."""
    for settings in models.glob("[!.]*/run.json"):
        yield read(settings.parent)


def clear(models: Path) -> None:
    """Remove the sweep under ``models``: what an earlier one left must not be taken for this one's."""
    if models.exists():
        (models / "sweep.json").unlink(missing_ok=True)
        for record in models.glob("*/run.json"):
            shutil.rmtree(record.parent)


def write_sweep(models: Path, sweep: Sweep) -> None:
    """Put the index of a trained sweep under ``models``."""
    write_text(models / "sweep.json", json.dumps(asdict(sweep), indent=2) + "\n")


def read_sweep(models: Path) -> Sweep:
    """The index of the sweep under ``models``.

    Raises:
        UserError: no sweep was trained to its end.
    """
    path = models / "sweep.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stable = {name: Stable(**each) for name, each in content.pop("stable", {}).items()}
        index = Sweep(**content, stable=stable)
        if not index.runs:
            raise ValueError("no runs")
        if any(Path(name).name != name for name in index.runs):
            raise ValueError("names of runs are no paths")
        return index
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `uv run pipeline train` first") from None
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{path}: not the index of a sweep; run `uv run pipeline train` again") from None
