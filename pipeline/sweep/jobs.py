"""The jobs that workers execute to train a run or a stack of small runs, and to check, score or evaluate a run.

A job gets its input as arguments and returns its results. The only files that a job writes are checkpoints, which it
saves through the worker's coordinator. The files that a job reads are the same on every machine.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline import datasets
from pipeline.datasets import Split
from pipeline.runs import records
from pipeline.runs.metric import Figures, network_figures
from pipeline.runs.params import Run
from pipeline.runs.records import Record, Timing
from pipeline.sweep import worker
from pipeline.sweep.run_progress import ActiveRun, Reporter
from pipeline.sweep.worker import device, memory_errors, torch_version

if TYPE_CHECKING:
    from pipeline.training.layer_statistics import Layer

Origin = Literal["trained", "resumed", "cached"]
"""How a run was obtained: it was trained from the start, resumed from a checkpoint, or found in the run cache."""


@dataclass(frozen=True)
class Outcome:
    """A run that a worker has trained."""

    record: Record
    weights: bytes
    """The trained weights, in the safetensors format."""
    timing: Timing
    resumed: bool
    """True if the run was resumed from a checkpoint."""
    seconds: float
    """The number of seconds that this worker spent on training the run."""
    complaints: tuple[str, ...]
    """Problems in training. Each text completes a sentence that begins with the run's name."""


@dataclass(frozen=True)
class Trained:
    """A trained run, and how it was obtained."""

    record: Record
    timing: Timing
    origin: Origin
    seconds: float = 0.0
    """The number of seconds that this sweep spent on training the run; 0 for a cached run."""
    complaints: tuple[str, ...] = ()
    """Problems with the cache or in training. Each text completes a sentence that begins with the run's name."""


def partition(runs: Sequence[Run], jobs: int, stack_size: int) -> list[Sequence[Run]]:
    """Split the runs of a task, in order, into pieces of about equal size that keep all ``jobs`` workers busy.

    A worker trains the runs of a piece as a stack, so a piece has at most ``stack_size`` runs.
    """
    pieces = min(len(runs), math.ceil(math.ceil(len(runs) / stack_size) / jobs) * jobs)
    return [runs[len(runs) * piece // pieces : len(runs) * (piece + 1) // pieces] for piece in range(pieces)]


@dataclass(frozen=True)
class TrainJob:
    """A job that trains runs on the data in the folder ``data``."""

    data: Path
    checkpoints: Path
    """The checkpoint folder on the parent's machine."""
    checkpoint_every: float = 5.0
    """The minimum number of seconds between two checkpoints of a run."""
    threads: int = 1
    """The number of cores that each worker may use for a run."""

    def __call__(self, runs: Sequence[tuple[Run, str]]) -> list[Outcome]:
        """Train the runs of a piece, each paired with its fingerprint; resume the runs that have checkpoints."""
        outcomes: list[Outcome] = []
        at_position: dict[tuple[int, int], list[ActiveRun]] = {}
        with memory_errors():
            for run, fingerprint in runs:
                active = self._start(run, fingerprint)
                at_position.setdefault(active.training.position, []).append(active)
            for together in at_position.values():
                outcomes += self._train_stack(together)
        return outcomes

    def _start(self, run: Run, fingerprint: str) -> ActiveRun:
        """Return a run that is ready to train, either from the start or from its checkpoint."""
        from pipeline.training.state import Training
        from pipeline.training.training_set import read_splits

        train, _ = read_splits(self.data, run.workload)
        training = Training(run, datasets.summary(self.data), device(), train.vectors)
        active = ActiveRun(fingerprint, training, worker.coordinator().checkpoint(self.checkpoints / fingerprint), [])
        active.resume()
        return active

    def _train_stack(self, together: list[ActiveRun]) -> list[Outcome]:
        """Train runs that are at the same epoch and batch; if the GPU runs out of memory, use narrower stacks."""
        import torch

        from pipeline.training.stacking import narrow, stack_plan
        from pipeline.training.training_set import TrainingSet, read_splits

        first = together[0].training
        train, _ = read_splits(self.data, first.workload)
        examples = TrainingSet(train, first.data, first.workload, device())
        width = stack_plan(first, examples).most
        if len(together) > width:
            parts = [together[start : start + width] for start in range(0, len(together), width)]
            return [outcome for part in parts for outcome in self._train_stack(part)]
        try:
            return self._train(together)
        except torch.OutOfMemoryError:
            if not narrow(first, examples):
                raise
        again = [self._start(active.training.run, active.fingerprint) for active in together]
        for active in again:
            active.complaints.append(
                "is trained in a narrower stack because memory is short; a GPU with more memory may round differently"
            )
        del first, examples
        together.clear()
        torch.cuda.empty_cache()
        return self._train_stack(again)

    def _train(self, together: list[ActiveRun]) -> list[Outcome]:
        """Train runs until all of them have ended; they must all start at the same epoch and batch."""
        from pipeline.sweep.checkpoint import Pace
        from pipeline.training.determinism import use_threads
        from pipeline.training.loop import train
        from pipeline.training.training_set import read_splits

        first = together[0].training
        use_threads(self.threads, first.workload, first.network)
        pace, started = Pace(self.checkpoint_every), time.perf_counter()
        reporter = Reporter(together, worker.coordinator().report)

        def seconds() -> float:
            return (time.perf_counter() - started) / len(together)

        def save() -> None:
            for active in together:
                try:
                    active.save(seconds())
                except OSError as error:
                    pace.cease()
                    active.complaints.append(f"has no checkpoint: {error.strerror}")
                    break

        def before_batch() -> None:
            reporter.report()
            if pace.due():
                with pace.saving():
                    save()

        train_split, val = read_splits(self.data, first.workload)
        for _ in train([active.training for active in together], train_split, val, before_batch):
            pass  # each run records its own epochs
        taken = seconds()
        return [self._outcome(active, val, taken) for active in together]

    def _outcome(self, active: ActiveRun, val: Split, seconds: float) -> Outcome:
        """Return the outcome of a run that has ended."""
        from safetensors.torch import save

        training = active.training
        end = training.outcome(val)
        record = Record(training.run, end, training.recorded, device().type, torch_version(), active.fingerprint)
        timing = Timing(active.started, active.seconds + seconds)
        state = training.evaluated.network.state_dict().items()
        # Clone each tensor, because tied weights share memory, which safetensors does not allow.
        weights = save({name: tensor.cpu().contiguous().clone() for name, tensor in state})
        return Outcome(record, weights, timing, active.resumed, seconds, tuple(active.complaints))


@dataclass(frozen=True)
class Checked:
    """The result of a `CheckJob`."""

    stack_size: int
    """The maximum size of a stack of runs like the checked run."""
    notes: list[str]
    """Lines to print for the user."""


@dataclass(frozen=True)
class CheckJob:
    """A job that builds the network and the optimizer of a run, and tries them on a few examples."""

    data: Path

    def __call__(self, run: Run) -> Checked:
        """Check a run. Runs that differ only in the schedule, the base rate or the seed give the same result.

        Raises:
            UserError: the data and the network are not compatible.
        """
        from pipeline.training import building
        from pipeline.training.checks import check_outputs, check_training
        from pipeline.training.stacking import stack_plan
        from pipeline.training.state import Training
        from pipeline.training.training_set import TrainingSet, read_splits

        with memory_errors():
            train, val = read_splits(self.data, run.workload)
            training = Training(run, datasets.summary(self.data), device(), train.vectors)
            check_outputs(training.network, val, training.data, run.workload, device())
            plan = stack_plan(training, TrainingSet(train, training.data, run.workload, device()))
            notes = building.notes(run.workload, training.data)
            if plan.reason:
                notes.append(f"runs of {run.workload.model.name} are trained one by one: {plan.reason}")
            check_training(training.network, train, training.data, run.workload, device())
            return Checked(plan.most, notes)


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a trained run."""

    figures: Figures
    """The test figures."""
    layers: "list[Layer]"
    """Statistics of each layer's weights before and after training."""


@dataclass(frozen=True)
class ScoreJob:
    """A job that scores a trained run on the test split."""

    data: Path
    models: Path
    """The folder that holds the weights; its name is used only in error messages."""

    def __call__(self, trained: tuple[Record, bytes]) -> Figures:
        """Return the test figures of a run, given its record and weights."""
        from pipeline.training.evaluation import load, score
        from pipeline.training.training_set import read_once

        record, weights = trained
        run, summary = record.run, datasets.summary(self.data)
        with memory_errors():
            network = load(run.workload, self.models / run.name / records.WEIGHTS, summary, weights).to(device())
            test = read_once(self.data, "test", run.workload.max_length)
            return network_figures(*score(network, test, summary, run.workload, device()))


@dataclass(frozen=True)
class EvaluateJob:
    """A job that scores a trained run on the test split, and compares its weights with the initial weights."""

    data: Path
    models: Path
    """The folder that holds the weights; its name is used only in error messages."""

    def __call__(self, trained: tuple[Record, bytes]) -> Evaluation:
        """Return the evaluation of a run, given its record and weights."""
        from pipeline.training.evaluation import evaluate
        from pipeline.training.training_set import read_once

        record, weights = trained
        run, path = record.run, self.models / record.run.name / records.WEIGHTS
        with memory_errors():
            test = read_once(self.data, "test", run.workload.max_length)
            vectors = None
            if getattr(run.workload.dataset, "vectors", None):
                vectors = read_once(self.data, "train", run.workload.max_length).vectors
            loss, accuracy, layers = evaluate(run, path, datasets.summary(self.data), test, vectors, device(), weights)
            return Evaluation(network_figures(loss, accuracy), layers)
