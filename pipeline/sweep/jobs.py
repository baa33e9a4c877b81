"""Many runs: what a worker does with one, or with a stack of small ones; the run cache and checkpoints round it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline import data, records
from pipeline.data import Split
from pipeline.errors import DamagedError
from pipeline.params import Run
from pipeline.records import Record, Timing
from pipeline.sweep.cache import CHECKPOINTS, RUNS, fingerprint, keep, take
from pipeline.sweep.pool import count, device, memory, set_threads, torch_version

if TYPE_CHECKING:
    from pipeline.sweep.checkpoint import Checkpoint
    from pipeline.training.evaluation import Evaluation
    from pipeline.training.loop import Training

LARGEST = 16
"""Runs in a stack: with more, what they compute no longer stays in the processor's caches."""

_part = lru_cache(maxsize=None)(data.read)


Origin = Literal["trained", "resumed", "cached"]


@dataclass(frozen=True)
class Trained:
    """What came of a run, and how."""

    record: Record
    timing: Timing
    origin: Origin
    """Trained from its start, or from a checkpoint on; or trained before."""
    seconds: float = 0.0
    """What it took now."""
    complaints: tuple[str, ...] = ()
    """What was wrong with the cache and the checkpoints."""


@dataclass
class _Begun:
    """A run that is being trained."""

    mark: str
    training: "Training"
    checkpoint: "Checkpoint"
    complaints: list[str]
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    """What it took before it was stopped."""
    resumed: bool = False

    def save(self, seconds: float) -> None:
        """Save where it is, ``seconds`` after it was begun, or begun again."""
        if not self.training.over:
            state = {"started": self.started, "seconds": self.seconds + seconds}
            self.checkpoint.save({"training": self.training.state(), **state})


def stacked(runs: Sequence[Run], jobs: int, small: bool) -> list[Sequence[Run]]:
    """The pieces of work that a sweep is made of, in the order of its runs.

    Args:
        runs: of one task.
        jobs: how many workers there are, which should have as much to do.
        small: whether such runs are trained in stacks; without, each piece is one run.
    """
    parts = math.ceil(math.ceil(len(runs) / LARGEST) / jobs) * jobs
    parts = min(len(runs), parts) if small else len(runs)
    return [runs[len(runs) * part // parts : len(runs) * (part + 1) // parts] for part in range(parts)]


@dataclass(frozen=True)
class Train:
    """Train runs on the data in one folder and leave their records and weights in another. For `Workers.work`.

    Several runs at once are one of what `stacked` answers.
    """

    data: Path
    models: Path
    cache: Path
    """Where runs are kept that need not be trained again, and checkpoints of those that have not ended."""
    every: float = 5.0
    """Seconds between two checkpoints, at the least."""
    threads: int = 1
    """Cores that there are for a run: more than one where there are fewer runs than cores."""

    def __call__(self, runs: Sequence[Run]) -> list[Trained]:
        done: list[Trained] = []
        places: dict[tuple[int, int], list[_Begun]] = {}
        with memory():
            for run in runs:
                begun = self._begin(run)
                if isinstance(begun, Trained):
                    done.append(begun)
                else:
                    places.setdefault(begun.training.place, []).append(begun)
            for together in places.values():
                done += self._train(together)
        return done

    def _begin(self, run: Run) -> "Trained | _Begun":
        """Take a run from the cache; or make ready to train it, from its checkpoint on if there is one."""
        from pipeline.sweep.checkpoint import Checkpoint
        from pipeline.training.loop import Training

        mark = self.mark(run)
        complaints = []
        try:
            if found := take(self.cache / RUNS / mark, run, self.models):
                count(run.epochs)
                return Trained(*found, "cached")
        except DamagedError as damage:
            complaints.append(f"is trained again, as the run cache is damaged: {damage}")
        train, _ = self._parts(run)
        training = Training(run, data.summary(self.data), device(), train.vectors)
        begun = _Begun(mark, training, Checkpoint(self.cache / CHECKPOINTS / mark), complaints)
        try:
            if state := begun.checkpoint.load():
                training.go_on_from(state["training"])
                begun.resumed, begun.started, begun.seconds = True, state["started"], state["seconds"]
        except DamagedError as damage:
            complaints.append(f"is trained from its start, as its checkpoint is damaged: {damage}")
        return begun

    def _train(self, together: "list[_Begun]") -> list[Trained]:
        from safetensors.torch import save

        from pipeline.sweep.checkpoint import Pace
        from pipeline.training.loop import steady, train

        set_threads(self.threads if steady(together[0].training) else 1)
        pace, clock = Pace(self.every), time.perf_counter()

        def share() -> float:
            return (time.perf_counter() - clock) / len(together)

        def between() -> None:
            if pace.due():
                with pace.saving():
                    for each in together:
                        try:
                            each.save(share())
                        except OSError as error:
                            pace.cease()
                            each.complaints.append(f"has no checkpoint: {error.strerror}")
                            break

        counted = {}
        for each in together:
            recorded = each.training.recorded
            counted[each.training.run.name] = recorded[-1].epoch if recorded else 0
            count(counted[each.training.run.name])
        parts = self._parts(together[0].training.run)
        for training, epoch in train([each.training for each in together], *parts, between):
            count(epoch.epoch - counted[training.run.name])
            counted[training.run.name] = epoch.epoch
        seconds, done = share(), []
        for each in together:
            training, run = each.training, each.training.run
            count(run.epochs - counted[run.name])  # those that a diverged run spares
            diverged = training.recorded[-1].diverged
            record = Record(
                run=run,
                outcome="diverged" if diverged else "dead" if training.dead(parts[1]) else "finished",
                epochs=training.recorded,
                device=device().type,
                torch=torch_version(),
                fingerprint=each.mark,
            )
            timing = Timing(each.started, each.seconds + seconds)
            weights = save({name: tensor.cpu().contiguous() for name, tensor in training.model.state_dict().items()})
            # Into the cache first: what is finished is kept, even if this process is killed in the next moment.
            try:
                keep(self.cache / RUNS / each.mark, record, timing, weights)
            except OSError as error:
                each.complaints.append(f"is not kept in the run cache: {error.strerror}")
            records.write(self.models / run.name, record, weights)
            each.checkpoint.remove()
            origin: Origin = "resumed" if each.resumed else "trained"
            done.append(Trained(record, timing, origin, seconds, tuple(each.complaints)))
        return done

    def mark(self, run: Run) -> str:
        """The fingerprint of a run on the data and in the workers at hand."""
        return fingerprint(run, data.summary(self.data), device().type, torch_version())

    def check(self, run: Run) -> bool:
        """Build what trains a run, and let it answer an example; whether runs like it are trained in stacks.

        Raises:
            UserError: data and network do not fit together.
        """
        from pipeline.training.loop import Training, small

        with memory():
            train, val = self._parts(run)
            training = Training(run, data.summary(self.data), device(), train.vectors)
            training.check(val)
            return small(training)

    def _parts(self, run: Run) -> tuple[Split, Split]:
        train = _part(self.data, "train", run.max_length, run.train_subset)
        return train, _part(self.data, "val", run.max_length)


@dataclass(frozen=True)
class Evaluate:
    """Score a trained run on the test set. For `Workers.work`."""

    data: Path
    models: Path

    def __call__(self, record: Record) -> "Evaluation":
        from pipeline.training.evaluation import evaluate

        run, folder = record.run, self.models / record.run.name
        with memory():
            test = _part(self.data, "test", run.max_length)
            pretrained = getattr(run.dataset, "vectors", None)
            vectors = _part(self.data, "train", run.max_length).vectors if pretrained else None
            return evaluate(record, folder, data.summary(self.data), test, vectors, device())
