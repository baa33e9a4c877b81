"""Checks that lint all schedules of a sweep and rehearse the user's own schedules before training."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.runs.params import Run
from pipeline.schedules import curve
from pipeline.schedules.lint import warnings
from pipeline.sweep.pool import Workers

if TYPE_CHECKING:
    from torch import nn

LONGEST = 10_000
"""The maximum number of steps in a rehearsal; the later steps of a longer schedule are not rehearsed."""


def lint_sweep(workers: Workers, runs: Sequence[Run]) -> list[str]:
    """Return warnings about likely mistakes in the schedules and the optimizers of a sweep.

    A mistake in a schedule usually shows up with every optimizer and base LR, so only the first group
    with warnings is reported for each scheduler. The number of batches per epoch must be known for each run.
    """
    groups = {run.group: run for run in runs}
    of_group: dict[str, list[str]] = {run.group: lines for run, lines in workers.map(lint_run, [*groups.values()])}
    of_scheduler: dict[str, list[str]] = {}
    for group, run in groups.items():
        of_scheduler[run.scheduler] = of_scheduler.get(run.scheduler) or of_group[group]
    lines = [line for lines in of_scheduler.values() for line in lines]
    rateless = {run.optimizer: run.workload.optimizer.class_ for run in runs if not run.workload.optimizer.follows_rate}
    why = "uses the rate only in its first step, so no schedule changes anything; any other class follows the rate"
    return [*lines, *(f"{name}: {kind} {why}" for name, kind in rateless.items())]


def lint_run(run: Run) -> list[str]:
    """Return the warnings about the schedule of a run; each line begins with the name of the run's group."""
    rates = curve(run.schedule, run.lr, run.epochs, run.batches)
    if run.schedule.interval == "epoch":
        rates = rates[:: run.batches]  # the rate is constant within an epoch
    lines = warnings(run.schedule, run.lr, run.epochs, rates, run.batches)
    return [f"{run.group}: {line}" for line in lines]


def rehearse_sweep(workers: Workers, runs: Sequence[Run]) -> None:
    """Rehearse the user's own schedules in a sweep, each with every base rate and optimizer.

    Raises:
        UserError: training with one of the schedules would fail.
    """
    groups = {run.group: run for run in runs if run.schedule.own}
    if groups:
        list(workers.map(rehearse, [*groups.values()]))


def rehearse(run: Run) -> None:
    """Step a run's schedule as in training, and check that a copy restored halfway through gives the same rates.

    Raises:
        UserError: the schedule does not set the optimizer's rate, or the schedule's state cannot be saved and restored.
    """
    steps = min(run.epochs * run.schedule.steps_per_epoch(run.batches), LONGEST)
    stop = steps // 2
    whole, resumed = _Rehearsal(run), _Rehearsal(run)
    for _ in range(stop):
        whole.step()
    resumed.restore(whole.saved())
    for step in range(stop, steps):
        rates = whole.rate(), resumed.rate()
        if not math.isclose(*rates, rel_tol=1e-9):
            raise UserError(
                f"schedule {run.schedule.class_}: its state does not restore it: resumed at step {stop}, its rate at "
                f"step {step} is {rates[1]:g} instead of {rates[0]:g}; state_dict() must hold everything that changes"
            )
        whole.step()
        resumed.step()


def tiny_network() -> "nn.Module":
    """Return a tiny network that works with every optimizer; Muon needs the hidden layer."""
    from torch import nn

    return nn.Sequential(*(nn.Linear(1, 1) for _ in range(3)))


class _Rehearsal:
    """A schedule and an optimizer that are stepped together, without gradients."""

    def __init__(self, run: Run) -> None:
        self.name = run.schedule.class_
        self.optimizer = run.workload.optimizer.build(tiny_network(), run.lr)
        self.scheduler = run.schedule.build(self.optimizer, run.epochs, run.batches)

    def rate(self) -> float:
        """Return the current rate of the schedule.

        Raises:
            UserError: the optimizer has a different rate.
        """
        rate, of_optimizer = float(self.scheduler.get_last_lr()[0]), float(self.optimizer.param_groups[0]["lr"])
        if not math.isclose(rate, of_optimizer, rel_tol=1e-9):
            raise UserError(
                f"schedule {self.name}: get_last_lr() says {rate:g}, but the optimizer has {of_optimizer:g}; set `lr` "
                "in every group of optimizer.param_groups, at the start and in step()"
            )
        return rate

    def step(self) -> None:
        """Check the rate, then step the optimizer and the schedule."""
        self.rate()
        self.optimizer.step()
        self.scheduler.step()

    def saved(self) -> bytes:
        """Return the states of the optimizer and the schedule in the format of a checkpoint."""
        from pipeline.sweep.checkpoint import packed

        state = self.scheduler.state_dict()
        try:
            return packed({"optimizer": self.optimizer.state_dict(), "scheduler": state})
        except (TypeError, ValueError) as error:
            faulty = next((f"{key!r}: " for key, value in state.items() if not _can_be_saved({key: value})), "")
            raise UserError(
                f"schedule {self.name}: its state cannot be saved: {faulty}{error}; allowed: numbers, texts, tensors, "
                "None, and lists, tuples and dictionaries of them"
            ) from None

    def restore(self, saved: bytes) -> None:
        """Restore the optimizer and the schedule from the bytes that the method `saved` returned."""
        from pipeline.sweep.checkpoint import unpacked

        try:
            state = unpacked(saved)
        except TypeError:  # JSON turns a tuple into a list, which cannot be a dictionary key
            raise UserError(f"schedule {self.name}: its state cannot be saved: a key in it is a tuple") from None
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])


def _can_be_saved(state: dict[str, Any]) -> bool:
    from pipeline.sweep.checkpoint import packed

    try:
        packed(state)
    except (TypeError, ValueError):
        return False
    return True
