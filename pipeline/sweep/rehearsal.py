"""Rehearse the user's own schedules before training: step them, stop in the middle, go on from what was saved."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.runs.params import Run
from pipeline.sweep.pool import Workers

if TYPE_CHECKING:
    from torch import nn

LONGEST = 10_000
"""Steps of a rehearsal: a longer schedule is rehearsed in part."""


def rehearse_sweep(workers: Workers, runs: Sequence[Run]) -> None:
    """Rehearse each schedule of the user's own in a sweep, at every base rate and with every optimizer.

    Raises:
        UserError: one does not do what training needs.
    """
    groups = {run.group: run for run in runs if run.schedule.own}
    if groups:
        list(workers.work(rehearse, list(groups.values())))


def rehearse(run: Run) -> None:
    """Step the user's own schedule of a run as training does, and a second one from a saved state on.

    Raises:
        UserError: it sets no rate, its state cannot be saved, or does not restore it.
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
                f"schedule {run.schedule.class_}: its state does not restore it: stopped after {stop} steps, its rate "
                f"after {step} is {rates[1]:g}, without the stop {rates[0]:g}; state_dict() must hold all that changes"
            )
        whole.step()
        resumed.step()


def tiny_network() -> "nn.Module":
    """Return a network that any optimizer takes: the middle one of its three matrices is a hidden one, for Muon."""
    from torch import nn

    return nn.Sequential(*(nn.Linear(1, 1) for _ in range(3)))


class _Rehearsal:
    """A schedule with an optimizer that trains nothing."""

    def __init__(self, run: Run) -> None:
        self.name = run.schedule.class_
        self.optimizer = run.workload.optimizer.build(tiny_network(), run.lr)
        self.scheduler = run.schedule.build(self.optimizer, run.epochs, run.batches)

    def rate(self) -> float:
        """Return the rate, which must be the optimizer's."""
        said, used = float(self.scheduler.get_last_lr()[0]), float(self.optimizer.param_groups[0]["lr"])
        if not math.isclose(said, used, rel_tol=1e-9):
            raise UserError(
                f"schedule {self.name}: get_last_lr() says {said:g}, but the optimizer has {used:g}; set `lr` of each "
                "of optimizer.param_groups, at the start and in step()"
            )
        return said

    def step(self) -> None:
        """Check the rate, and step."""
        self.rate()
        self.optimizer.step()
        self.scheduler.step()

    def saved(self) -> bytes:
        """Return the state of both as a checkpoint holds it."""
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
        """Go on from what was saved."""
        from pipeline.sweep.checkpoint import unpacked

        try:
            state = unpacked(saved)
        except TypeError:  # it comes back as a list
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
