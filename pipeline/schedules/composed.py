"""Schedules made of others: one after another, or all at once."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.schedules.base import Part, Schedule
from pipeline.schedules.horizons import Within, check_order
from pipeline.settings import Resolved

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class _Composed(Schedule):
    composed = True

    schedulers: Annotated[list[Part], Field(min_length=2)]
    """The parts; they are stepped together with the whole, whatever interval they name."""

    def parts(self) -> list[Schedule]:
        return [part.model_copy(update={"interval": self.interval}) for part in self.schedulers]

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        resolved = super().resolve(lr, epochs, batches)
        return resolved | {"schedulers": [part.resolve(lr, epochs, batches) for part in self.parts()]}

    def last_phase(self, epochs: int, batches: int) -> tuple[int, list[Schedule]]:
        return 0, self.parts()

    def _build_parts(self, optimizer: "Optimizer", epochs: int, batches: int) -> "list[LRScheduler]":
        from torch.optim.lr_scheduler import LRScheduler

        built = [part.build(optimizer, epochs, batches) for part in self.parts()]
        return [part for part in built if isinstance(part, LRScheduler)]  # the others are not `composable`


class SequentialLR(_Composed):
    """One scheduler after another, each from its milestone on

    Source: PyTorch.
    """

    sequential = True

    milestones: Annotated[list[Within], Field(min_length=1)]
    """Times at which each scheduler but the first begins, in order."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"{len(self.schedulers)} schedulers in sequence need {len(self.schedulers) - 1} milestones, "
                f"not {len(self.milestones)}"
            )
        check_order(self.milestones, resolved["milestones"])

    def last_phase(self, epochs: int, batches: int) -> tuple[int, list[Schedule]]:
        milestones = [milestone.steps(epochs, batches, self.interval) for milestone in self.milestones]
        begun = [milestone for milestone in milestones if milestone < epochs * self.steps_per_epoch(batches)]
        return max(begun, default=0), [self.parts()[len(begun)]]

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        milestones = self.arguments(optimizer, epochs, batches)["milestones"]
        return lr_scheduler.SequentialLR(optimizer, self._build_parts(optimizer, epochs, batches), milestones)


class ChainedScheduler(_Composed):
    """lr times the factors of all its schedulers

    Their order matters if one of them restarts. Source: PyTorch.
    """

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        return lr_scheduler.ChainedScheduler(self._build_parts(optimizer, epochs, batches), optimizer=optimizer)
