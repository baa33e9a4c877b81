"""Defines the settings for averaging weights. The module `pipeline.training.averaging` computes the averages.

If a schedule has an average, the averaged network is validated, tested and published. Training itself always continues
with the unaveraged weights.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, SerializeAsAny

from pipeline.schedules.horizons import Horizon, Within
from pipeline.settings import Resolved, Settings, validated_by_class


class Average(Settings):
    """An average of the weights.

    The first line of a subclass's docstring is the formula, and `Source:` names the paper.
    """

    kind: str
    """The kind of average, which is a key of `KINDS`."""

    def resolve(self, epochs: int, batches: int) -> Resolved:
        """Return the settings as plain values for a run of ``epochs`` epochs, each with ``batches`` optimizer steps.

        Raises:
            ValueError: the run ends before the average begins.
        """
        raise NotImplementedError


class Ema(Average):
    """weights: decay · average + (1 - decay) · weights after every optimizer step

    As in torch, the average begins as a copy of the weights after the first step. Source: Morales-Brotons, Vogels &
    Hendrikx 2024, "Exponential Moving Average of Weights in Deep Learning", arXiv:2411.18704.
    """

    kind: Literal["ema"]
    """Always `ema`."""
    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of the old average that each step keeps; null for 1 - 1/`horizon`."""
    horizon: Within = Horizon(10, "percent", 1)
    """The length of training that the average covers; used only if `decay` is null."""

    def resolve(self, epochs: int, batches: int) -> Resolved:
        steps = self.horizon.steps(epochs, batches, "batch")
        return {"kind": self.kind, "decay": 1 - 1 / steps if self.decay is None else self.decay}


class Swa(Average):
    """weights: the mean of the weights at the end of every epoch from start on

    Before `start`, there is no average, so the network itself is validated. Source: Izmailov et al. 2018,
    "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv:1803.05407, algorithm 1.
    """

    kind: Literal["swa"]
    """Always `swa`."""
    start: Within = Horizon(75, "percent", 1)
    """The time at which averaging begins, rounded to whole epochs."""

    def resolve(self, epochs: int, batches: int) -> Resolved:
        start = self.start.steps(epochs, batches, "epoch")
        if start > epochs:
            raise ValueError(f"start {self.start} comes after the run of {epochs} epochs, so nothing would be averaged")
        return {"kind": self.kind, "start": start}


KINDS: dict[str, type[Average]] = {"ema": Ema, "swa": Swa}
"""Maps the name of each kind of average to its class."""


def _validated(given: Any) -> Average | None:
    return given if given is None or isinstance(given, Average) else validated_by_class(given, KINDS, "kind")


AnyAverage = Annotated[SerializeAsAny[Average] | None, PlainValidator(_validated)]
"""An average in params.yaml, where the key `kind` names its class, or None for no average."""
