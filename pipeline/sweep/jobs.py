"""Jobs for the workers: train a run or a stack of small ones, check one, evaluate one.

A job is pure: what it needs comes with it, what it finds out goes back, and it writes nothing but checkpoints, over the
worker's desk. What a path in it leads to is the same wherever it is done.
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
from pipeline.sweep.active import ActiveRun
from pipeline.sweep.worker import device, memory_errors, torch_version

if TYPE_CHECKING:
    from pipeline.training.layer_statistics import Layer

Origin = Literal["trained", "resumed", "cached"]
"""Trained from its start, or from a checkpoint on; or trained before."""


@dataclass(frozen=True)
class Outcome:
    """A run that a worker has trained."""

    record: Record
    weights: bytes
    """In the safetensors format."""
    timing: Timing
    resumed: bool
    """True if it was begun from a checkpoint."""
    seconds: float
    """Seconds that it took now."""
    complaints: tuple[str, ...]
    """Faults of the checkpoints, each the end of a sentence about the run."""


@dataclass(frozen=True)
class Trained:
    """A trained run, and how it came about."""

    record: Record
    timing: Timing
    origin: Origin
    seconds: float = 0.0
    """Seconds that it took now."""
    complaints: tuple[str, ...] = ()
    """Faults of the cache and the checkpoints, each the end of a sentence about the run."""


def partition(runs: Sequence[Run], jobs: int, stack_size: int) -> list[Sequence[Run]]:
    """Divide a sweep into pieces of work, in the order of its runs.

    Args:
        runs: of one task.
        jobs: how many workers there are; all get as much to do.
        stack_size: the most of them in one piece, which is trained as a stack; 1: each is trained by itself.
    """
    pieces = min(len(runs), math.ceil(math.ceil(len(runs) / stack_size) / jobs) * jobs)
    return [runs[len(runs) * piece // pieces : len(runs) * (piece + 1) // pieces] for piece in range(pieces)]


@dataclass(frozen=True)
class TrainJob:
    """Train runs on the data in one folder. For `Workers.work`."""

    data: Path
    checkpoints: Path
    """The parent's folder of checkpoints."""
    checkpoint_every: float = 5.0
    """Seconds between two checkpoints, at the least."""
    threads: int = 1
    """Cores that there are for a run: more than one where there are fewer runs than cores."""

    def __call__(self, runs: Sequence[tuple[Run, str]]) -> list[Outcome]:
        """Train the runs of one piece of `partition`, each with its fingerprint, from their checkpoints on."""
        done: list[Outcome] = []
        active: dict[tuple[int, int], list[ActiveRun]] = {}
        with memory_errors():
            for run, fingerprint in runs:
                started = self._start(run, fingerprint)
                active.setdefault(started.training.position, []).append(started)
            for together in active.values():
                done += self._trained(together)
        return done

    def _trained(self, together: list[ActiveRun]) -> list[Outcome]:
        """Train runs at the same position, in narrower stacks where a GPU has too little memory."""
        import torch

        from pipeline.training.stacking import narrow, stack_plan
        from pipeline.training.training_set import TrainingSet, read_splits

        first = together[0].training
        train, _ = read_splits(self.data, first.workload)
        examples = TrainingSet(train, first.data, first.workload, device())
        width = stack_plan(first, examples).most
        if len(together) > width:
            parts = [together[start : start + width] for start in range(0, len(together), width)]
            return [outcome for part in parts for outcome in self._trained(part)]
        try:
            return self._train(together)
        except torch.OutOfMemoryError:
            if not narrow(first, examples):
                raise
        again = [self._start(each.training.run, each.fingerprint) for each in together]
        for each in again:
            each.complaints.append(
                "is trained in a narrower stack, as memory is short; a GPU with more rounds otherwise"
            )
        del first, examples
        together.clear()
        torch.cuda.empty_cache()
        return self._trained(again)

    def _start(self, run: Run, fingerprint: str) -> ActiveRun:
        """Get a run ready to train."""
        from pipeline.training.state import Training
        from pipeline.training.training_set import read_splits

        train, _ = read_splits(self.data, run.workload)
        training = Training(run, datasets.summary(self.data), device(), train.vectors)
        active = ActiveRun(fingerprint, training, worker.desk().checkpoint(self.checkpoints / fingerprint), [])
        active.resume()
        return active

    def _train(self, together: list[ActiveRun]) -> list[Outcome]:
        """Train runs at the same position to their end."""
        from pipeline.sweep.checkpoint import Pace
        from pipeline.sweep.news import Reporter
        from pipeline.training.determinism import use_threads
        from pipeline.training.loop import train
        from pipeline.training.training_set import read_splits

        first = together[0].training
        use_threads(self.threads, first.workload, first.network)
        pace, clock = Pace(self.checkpoint_every), time.perf_counter()
        reporter = Reporter(together, worker.desk().tell)

        def seconds() -> float:
            return (time.perf_counter() - clock) / len(together)

        def before_batch() -> None:
            reporter.tell()
            if pace.due():
                with pace.saving():
                    for each in together:
                        try:
                            each.save(seconds())
                        except OSError as error:
                            pace.cease()
                            each.complaints.append(f"has no checkpoint: {error.strerror}")
                            break

        counted = dict.fromkeys((each.training.run.name for each in together), 0)

        def tell(run: Run, epoch: int) -> None:
            worker.desk().count(epoch - counted[run.name])
            counted[run.name] = epoch

        for each in together:
            tell(each.training.run, each.training.recorded[-1].epoch if each.training.recorded else 0)
        train_split, val = read_splits(self.data, first.workload)
        for training, epoch in train([each.training for each in together], train_split, val, before_batch):
            tell(training.run, epoch.epoch)
        taken = seconds()
        for each in together:
            tell(each.training.run, each.training.run.epochs)  # a diverged run spares some
        return [self._outcome(each, val, taken) for each in together]

    def _outcome(self, active: ActiveRun, val: Split, seconds: float) -> Outcome:
        """Return what there is of a run that has ended."""
        from safetensors.torch import save

        training, run = active.training, active.training.run
        of = device().type, torch_version(), active.fingerprint
        record = Record(run, training.outcome(val), training.recorded, *of)
        timing = Timing(active.started, active.seconds + seconds)
        state = training.evaluated.network.state_dict().items()
        weights = save({name: tensor.cpu().contiguous().clone() for name, tensor in state})  # some may be one tensor
        return Outcome(record, weights, timing, active.resumed, seconds, tuple(active.complaints))


@dataclass(frozen=True)
class Checked:
    """What is known of the runs of a sweep before they are trained."""

    stack_size: int
    """The most of them that are trained together; 1: each is trained by itself."""
    notes: list[str]
    """What the user should know of them, a line each."""


@dataclass(frozen=True)
class CheckJob:
    """Build what trains a run, and let it answer an example. For `Workers.work`."""

    data: Path

    def __call__(self, run: Run) -> Checked:
        """Return what is known of runs like this one.

        Raises:
            UserError: data and network do not fit together.
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
            chosen = stack_plan(training, TrainingSet(train, training.data, run.workload, device()))
            notes = building.notes(run.workload, training.data)
            if chosen.reason:
                notes.append(f"runs of {run.workload.model.name} are trained one by one: {chosen.reason}")
            found = Checked(chosen.most, notes)
            check_training(training.network, train, training.data, run.workload, device())
            return found


@dataclass(frozen=True)
class Evaluation:
    """What the evaluation of a trained run says."""

    figures: Figures
    """On the test split."""
    layers: "list[Layer]"
    """Its weights before and after training."""


@dataclass(frozen=True)
class ScoreJob:
    """Score trained runs on the test split. For `Workers.work`."""

    data: Path
    models: Path
    """Where their weights come from."""

    def __call__(self, trained: Sequence[tuple[Record, bytes]]) -> list[Figures]:
        """Return the test figures of each run; with each come its weights."""
        from pipeline.training.evaluation import load, score
        from pipeline.training.training_set import read_once

        figures = []
        with memory_errors():
            for record, weights in trained:
                run, summary = record.run, datasets.summary(self.data)
                network = load(run.workload, self.models / run.name / records.WEIGHTS, summary, weights).to(device())
                test = read_once(self.data, "test", run.workload.max_length)
                figures.append(network_figures(*score(network, test, summary, run.workload, device())))
        return figures


@dataclass(frozen=True)
class EvaluateJob:
    """Score a trained run on the test set. For `Workers.work`."""

    data: Path
    models: Path
    """Where its weights come from."""

    def __call__(self, trained: tuple[Record, bytes]) -> Evaluation:
        """Evaluate a run, with which its weights come."""
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
