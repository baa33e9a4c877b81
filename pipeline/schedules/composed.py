"""Defines schedules composed of other schedules, which run either one after another or all at the same time."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from pipeline.schedules.base import Part, Schedule
from pipeline.schedules.horizons import Within, check_order
from pipeline.schedules.torch_call import TorchCall
from pipeline.settings import Resolved


class _Composed(Schedule):
    schedulers: Annotated[list[Part], Field(min_length=2)]
    """The parts of the schedule, which all use the interval of the whole schedule."""

    def parts(self) -> list[Schedule]:
        return [part.model_copy(update={"interval": self.interval}) for part in self.schedulers]

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        resolved = super().resolve(lr, epochs, batches)
        return resolved | {"schedulers": [part.resolve(lr, epochs, batches) for part in self.parts()]}

    def torch_call(self, resolved: Resolved, base_rates: Sequence[float]) -> TorchCall:
        parts = zip(self.parts(), resolved["schedulers"], strict=True)
        calls = [part.torch_call(settings, base_rates) for part, settings in parts]
        return super().torch_call(resolved | {"schedulers": calls}, base_rates)

    def last_phase(self, epochs: int, batches: int) -> tuple[int, list[Schedule]]:
        return 0, self.parts()


class SequentialLR(_Composed):
    """One scheduler after another, each from its milestone on

    Source: PyTorch.
    """

    sequential = True

    milestones: Annotated[list[Within], Field(min_length=1)]
    """The times at which the second and all later schedulers begin, in ascending order."""

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


class ChainedScheduler(_Composed):
    """lr times the factors of all its schedulers

    The order of the schedulers matters if one of them restarts. Source: PyTorch.
    """
