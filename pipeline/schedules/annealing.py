"""Defines torch's schedules that lower the rate smoothly, including LinearLR, which can also raise it."""

from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import Beyond
from pipeline.settings import Factor, NonNegative, Portion, Resolved, Share


class LinearLR(Schedule):
    """lr · (start_factor + (end_factor - start_factor) · min(t/total_iters, 1))

    The schedule is a warm-up if start_factor is below end_factor. Otherwise, it is a linear decay. Source: PyTorch.
    """

    composable = True
    ends_after = "total_iters"
    warms_up_over = "total_iters"

    start_factor: Share = 1 / 3
    """The factor applied to the base rate at the start."""
    end_factor: Portion = 1.0
    """The factor applied to the base rate at the end."""
    total_iters: Beyond
    """The time in which the factor goes from `start_factor` to `end_factor`."""

    @property
    def warms_up(self) -> bool:
        return self.start_factor < self.end_factor


class ExponentialLR(Schedule):
    """lr · gamma^t

    Source: PyTorch.
    """

    composable = True

    gamma: Factor | None = None
    """The factor by which each step multiplies the rate; null to reach `end_factor` at the end of the run."""
    end_factor: Factor = 0.01
    """The factor applied to the base rate at the end of the run; used only if `gamma` is null."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        end_factor = resolved.pop("end_factor")
        if self.gamma is None:
            resolved["gamma"] = end_factor ** (1 / steps)


class PolynomialLR(Schedule):
    """lr · (1 - min(t/total_iters, 1))^power

    Source: Chen et al. 2018, "DeepLab", arXiv:1606.00915 (power 0.9).
    """

    composable = True
    ends_after = "total_iters"

    total_iters: Beyond
    """The time until the rate reaches 0."""
    power: Factor = 1.0
    """The exponent of the polynomial; 1 gives a straight line."""


class CosineAnnealingLR(Schedule):
    """eta_min + (lr - eta_min) · (1 + cos(π · t/T_max))/2

    After T_max, the rate rises again. Source: Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983, equation 5, without
    its restarts.
    """

    composable = True
    ends_after = "T_max"
    turns_at_end = True

    T_max: Beyond
    """The time in which the rate falls from the base rate to `eta_min`."""
    eta_min: NonNegative = 0.0
    """The lowest rate."""
