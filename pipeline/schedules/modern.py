"""Defines common schedules that torch lacks, built from torch's classes."""

import math
from collections.abc import Sequence
from typing import Literal

from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import Beyond, FromZero, Within
from pipeline.schedules.stepped import constant
from pipeline.schedules.torch_call import TorchCall, factor_call
from pipeline.settings import NonNegative, Resolved, Share


class _Warmed(Schedule):
    """A linear warm-up, followed by phases that the subclass defines."""

    warmup: FromZero
    """The length of the linear warm-up."""
    start_factor: Share = 0.1
    """The factor applied to the base rate at the start of the warm-up."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        if resolved["warmup"] >= steps:
            raise ValueError(f"warmup {self.warmup} takes the whole run of {epochs} epochs")
        resolved["steps"] = steps

    def torch_call(self, resolved: Resolved, base_rates: Sequence[float]) -> TorchCall:
        warmup, phases = resolved["warmup"], self._phases(resolved)
        if warmup > 0:
            linear = TorchCall("LinearLR", {"start_factor": resolved["start_factor"], "total_iters": warmup})
            phases = [(0, linear), *phases]
        calls = [call for _, call in phases]
        if len(calls) == 1:
            return calls[0]
        return TorchCall("SequentialLR", {"schedulers": calls, "milestones": [begin for begin, _ in phases[1:]]})

    def _phases(self, resolved: Resolved) -> list[tuple[int, TorchCall]]:
        """Return the calls for the phases after the warm-up, each with the step at which its phase begins."""
        raise NotImplementedError


class WarmupCosine(_Warmed):
    """Linear from lr · start_factor to lr over warmup, then a cosine to eta_min at the end of the run

    The cosine's T_max is the length of the run after the warm-up. If T_max were the length of the whole run, the rate
    would end far above eta_min. Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv:1706.02677 (warm-up);
    Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983 (cosine); together: He et al. 2019, "Bag of Tricks",
    arXiv:1812.01187.
    """

    eta_min: NonNegative = 0.0
    """The lowest rate."""

    def _phases(self, resolved: Resolved) -> list[tuple[int, TorchCall]]:
        warmup = resolved["warmup"]
        cosine = {"T_max": resolved["steps"] - warmup, "eta_min": resolved["eta_min"]}
        return [(warmup, TorchCall("CosineAnnealingLR", cosine))]


def _line_to_zero(steps: int) -> TorchCall:
    return TorchCall("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": steps})


def one_minus_sqrt(step: int, decay: int) -> float:
    """Return 1 - sqrt(step / decay), or 0 if step is above decay."""
    return 1 - math.sqrt(min(step / decay, 1))


class WarmupStableDecay(_Warmed):
    """Linear to lr over warmup, then lr, then lr · (1 - u) or lr · (1 - sqrt(u)), u the share of decay that is done

    Source: Hu et al. 2024, "MiniCPM", arXiv:2404.06395 (the schedule); Hägele et al. 2024, "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", arXiv:2405.18392 (the 1 - sqrt shape).
    """

    decay: Within
    """The length of the decay to 0 at the end of the run."""
    shape: Literal["linear", "1-sqrt"] = "linear"
    """The shape of the decay."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        super()._settle(resolved, lr, epochs, steps)
        if resolved["warmup"] + resolved["decay"] > steps:
            raise ValueError(f"warmup {self.warmup} and decay {self.decay} are longer than the run of {epochs} epochs")

    def _phases(self, resolved: Resolved) -> list[tuple[int, TorchCall]]:
        decay = resolved["decay"]
        down = _line_to_zero(decay) if self.shape == "linear" else factor_call(one_minus_sqrt, decay=decay)
        return [(resolved["warmup"], factor_call(constant)), (resolved["steps"] - decay, down)]


def hold_then_decay(step: int, hold: int, decay: int, end_factor: float) -> float:
    """Return 1 for `hold` steps, then a factor that decays to `end_factor`."""
    done = min(max(step - hold, 0) / decay, 1)
    return float(end_factor**done)


class TriStage(_Warmed):
    """Linear to lr over warmup, then lr for hold, then lr · end_factor^min(u, 1), u the share of decay that is done

    After the decay, the rate stays at lr · end_factor. Source: Park et al. 2019, "SpecAugment", arXiv:1904.08779,
    section 3.2.
    """

    hold: FromZero
    """The time for which the rate stays at the base rate."""
    decay: Beyond
    """The length of the exponential decay."""
    end_factor: Share = 0.01
    """The factor applied to the base rate at the end of the decay."""

    def _phases(self, resolved: Resolved) -> list[tuple[int, TorchCall]]:
        lengths = {name: resolved[name] for name in ("hold", "decay", "end_factor")}
        return [(resolved["warmup"], factor_call(hold_then_decay, **lengths))]


class LinearToZero(_Warmed):
    """Linear to lr over warmup, then linear to 0 at the end of the run

    Source: Bergsma et al. 2025, "Straight to Zero", arXiv:2502.15938 (D2Z).
    """

    def _phases(self, resolved: Resolved) -> list[tuple[int, TorchCall]]:
        warmup = resolved["warmup"]
        return [(warmup, _line_to_zero(resolved["steps"] - warmup))]


def inverse_sqrt(step: int, warmup: int) -> float:
    """Return a factor that rises linearly, then falls like an inverse square root."""
    return min((step + 1) / warmup, math.sqrt(warmup / (step + 1)))


class InverseSqrt(Schedule):
    """lr · min((t + 1)/warmup, sqrt(warmup/(t + 1)))

    This is the Noam schedule, scaled so that its peak is the base rate. Source: Vaswani et al. 2017, "Attention Is All
    You Need", arXiv:1706.03762, equation 3.
    """

    factor_of_step = staticmethod(inverse_sqrt)
    warms_up_over = "warmup"
    shortest_warmup = 2  # because a warm-up of one step begins at the peak

    warmup: Within
    """The length of the linear warm-up."""


def rex(step: int, total_iters: int) -> float:
    """Return (1 - z)/(1/2 + (1 - z)/2), where z = min(step/total_iters, 1)."""
    left = 1 - min(step / total_iters, 1)
    return left / (0.5 + 0.5 * left)


class REX(Schedule):
    """lr · (1 - z)/(1/2 + (1 - z)/2), z = t/total_iters

    Source: Chen, Wolfe & Kyrillidis 2022, "REX: Revisiting Budgeted Training with an Improved Schedule",
    arXiv:2107.04197.
    """

    factor_of_step = staticmethod(rex)
    ends_after = "total_iters"

    total_iters: Beyond
    """The time until the rate reaches 0."""
