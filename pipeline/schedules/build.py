"""Name and settings -> a torch scheduler; the learning-rate curve without training.

Settings come resolved, as `pipeline.settings` leaves them: torch's arguments by torch's names, horizons in steps
of the scheduler. Where torch's own classes can express a schedule, it is built from them.

In the formulas t counts the scheduler's steps from 0, T is their number in the run and lr the base rate.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, SequentialLR

from pipeline.schedules.expression import Expression

Scheduler = LRScheduler | ReduceLROnPlateau


def build(settings: Mapping[str, Any], optimizer: Optimizer) -> Scheduler:
    """The torch scheduler that ``settings`` describe, at its first step.

    Args:
        settings: resolved settings; `class` names the builder or torch's class, the rest are its arguments.
        optimizer: its `lr` is the base rate. Schedulers with a rate of their own (`max_lr`) set it at once.
    """
    arguments = {key: value for key, value in settings.items() if key not in ("class", "interval")}
    builder: Callable[..., Scheduler] = BUILDERS.get(settings["class"]) or getattr(lr_scheduler, settings["class"])
    return builder(optimizer, **arguments)


def steps_per_batch(settings: Mapping[str, Any]) -> bool:
    """Whether the scheduler is stepped after every batch; the others are stepped after every epoch."""
    return bool(settings["interval"] == "batch")


def needs_val_loss(settings: Mapping[str, Any]) -> bool:
    """Whether the scheduler goes by the validation loss of every epoch."""
    return bool(settings["class"] == "ReduceLROnPlateau")


def curve(settings: Mapping[str, Any], lr: float, epochs: int, batches: int) -> list[float]:
    """The rate that each batch of a run would be trained with, without training.

    ReduceLROnPlateau depends on the training; its curve is that of a validation loss that never improves.

    Returns:
        ``epochs`` x ``batches`` rates, in the order of training.
    """
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr, momentum=0.9)
    scheduler = build(settings, optimizer)
    rates = []
    for _ in range(epochs):
        for _ in range(batches):
            rates.append(float(scheduler.get_last_lr()[0]))
            optimizer.step()
            if steps_per_batch(settings):
                scheduler.step()
        end_of_epoch(scheduler, settings, val_loss=1.0)
    return rates


def end_of_epoch(scheduler: Scheduler, settings: Mapping[str, Any], val_loss: float | None) -> None:
    """Step a scheduler that is stepped once an epoch; ``val_loss`` is for the one that `needs_val_loss`."""
    if isinstance(scheduler, ReduceLROnPlateau):
        assert val_loss is not None
        scheduler.step(val_loss)
    elif not steps_per_batch(settings):
        scheduler.step()


# Factors of the base rate, as small classes and not lambdas: torch saves an object's attributes in `state_dict`.


@dataclass
class One:
    """factor(t) = 1."""

    def __call__(self, step: int) -> float:
        return 1.0


@dataclass
class OneMinusSqrt:
    """factor(t) = 1 - sqrt(t / decay), down to 0."""

    decay: int

    def __call__(self, step: int) -> float:
        return 1 - math.sqrt(min(step / self.decay, 1))


@dataclass
class Noam:
    """factor(t) = min((t + 1) / warmup, sqrt(warmup / (t + 1))): up in a line, down with the inverse root."""

    warmup: int

    def __call__(self, step: int) -> float:
        return min((step + 1) / self.warmup, math.sqrt(self.warmup / (step + 1)))


@dataclass
class Rex:
    """factor(t) = (1 - z) / (1/2 + (1 - z) / 2) with z = t / total_iters, down to 0."""

    total_iters: int

    def __call__(self, step: int) -> float:
        left = 1 - min(step / self.total_iters, 1)
        return left / (0.5 + 0.5 * left)


def constant(optimizer: Optimizer) -> LRScheduler:
    """lr

    No schedule: the rate never changes.
    """
    return lr_scheduler.LambdaLR(optimizer, One())


def lambda_lr(optimizer: Optimizer, lr_lambda: str, epochs: int, steps: int) -> LRScheduler:
    """lr · f(t)

    Any factor, written as an expression. Source: PyTorch.
    """
    return lr_scheduler.LambdaLR(optimizer, Expression(lr_lambda, epochs, steps))


def multiplicative(optimizer: Optimizer, lr_lambda: str, epochs: int, steps: int) -> LRScheduler:
    """lr · f(1) · f(2) ··· f(t)

    The rate times a factor at every step. Source: PyTorch.
    """
    return lr_scheduler.MultiplicativeLR(optimizer, Expression(lr_lambda, epochs, steps))


def one_cycle(optimizer: Optimizer, **arguments: Any) -> LRScheduler:
    """Up from max_lr/div_factor to max_lr, down to max_lr/(div_factor · final_div_factor)

    One cycle over the whole run. Source: Smith & Topin 2018, "Super-convergence", arXiv:1708.07120.
    """
    # torch divides by the first phase's length, pct_start * total_steps - 1; a hair more gives its limit.
    while arguments["pct_start"] * arguments["total_steps"] == 1:
        arguments["pct_start"] = math.nextafter(arguments["pct_start"], 1)
    return lr_scheduler.OneCycleLR(optimizer, **arguments)


def chained(optimizer: Optimizer, schedulers: list[Mapping[str, Any]]) -> LRScheduler:
    """The factors of all its schedulers at once

    The order matters where one of them restarts. Source: PyTorch.
    """
    return lr_scheduler.ChainedScheduler([_part(each, optimizer) for each in schedulers], optimizer=optimizer)


def sequential(optimizer: Optimizer, schedulers: list[Mapping[str, Any]], milestones: list[int]) -> LRScheduler:
    """One scheduler after another, each from its milestone on

    Source: PyTorch.
    """
    return SequentialLR(optimizer, [_part(each, optimizer) for each in schedulers], milestones)


def warmup_cosine(optimizer: Optimizer, warmup: int, start_factor: float, eta_min: float, steps: int) -> LRScheduler:
    """Linear from lr · start_factor to lr over warmup, then cosine to eta_min at the very end

    The cosine's T_max is what the warm-up leaves of the run: with the whole run it would stop far above eta_min.
    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv:1706.02677 (warm-up); Loshchilov & Hutter
    2017, "SGDR", arXiv:1608.03983 (cosine); together: He et al. 2019, "Bag of Tricks", arXiv:1812.01187.
    """
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=eta_min)
    return _after_warmup(optimizer, warmup, start_factor, [cosine], [])


def warmup_stable_decay(
    optimizer: Optimizer, warmup: int, start_factor: float, decay: int, shape: str, steps: int
) -> LRScheduler:
    """Linear up over warmup, lr, then to 0 over decay: 1 - u, or 1 - sqrt(u), u the share of decay that is done

    Source: Hu et al. 2024, "MiniCPM", arXiv:2404.06395 (the schedule); Hägele et al. 2024, "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", arXiv:2405.18392 (the 1 - sqrt shape).
    """
    stable = lr_scheduler.LambdaLR(optimizer, One())
    down: LRScheduler = (
        lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=decay)
        if shape == "linear"
        else lr_scheduler.LambdaLR(optimizer, OneMinusSqrt(decay))
    )
    return _after_warmup(optimizer, warmup, start_factor, [stable, down], [steps - decay])


def linear_to_zero(optimizer: Optimizer, warmup: int, start_factor: float, steps: int) -> LRScheduler:
    """Linear up over warmup, then linear to 0 at the very end

    Source: Bergsma et al. 2025, "Straight to Zero", arXiv:2502.15938 (D2Z).
    """
    down = lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=steps - warmup)
    return _after_warmup(optimizer, warmup, start_factor, [down], [])


def inverse_sqrt(optimizer: Optimizer, warmup: int) -> LRScheduler:
    """lr · min((t + 1)/warmup, sqrt(warmup/(t + 1)))

    The Noam schedule, scaled so that its peak is the base rate. Source: Vaswani et al. 2017, "Attention Is All You
    Need", arXiv:1706.03762, equation 3.
    """
    return lr_scheduler.LambdaLR(optimizer, Noam(warmup))


def rex(optimizer: Optimizer, total_iters: int) -> LRScheduler:
    """lr · (1 - z)/(1/2 + (1 - z)/2), z = t/total_iters

    Source: Chen, Wolfe & Kyrillidis 2022, "REX: Revisiting Budgeted Training with an Improved Schedule",
    arXiv:2107.04197.
    """
    return lr_scheduler.LambdaLR(optimizer, Rex(total_iters))


BUILDERS: dict[str, Callable[..., Scheduler]] = {
    "Constant": constant,
    "LambdaLR": lambda_lr,
    "MultiplicativeLR": multiplicative,
    "OneCycleLR": one_cycle,
    "ChainedScheduler": chained,
    "SequentialLR": sequential,
    "WarmupCosine": warmup_cosine,
    "WarmupStableDecay": warmup_stable_decay,
    "LinearToZero": linear_to_zero,
    "InverseSqrt": inverse_sqrt,
    "REX": rex,
}
"""Classes that are ours, or that need more than torch's arguments; any other name is torch's own class."""


TORCH = {
    "StepLR": ("lr · gamma^floor(t / step_size)", ""),
    "MultiStepLR": ("lr · gamma^(how many milestones are at or before t)", ""),
    "ConstantLR": ("lr · factor while t < total_iters, then lr", ""),
    "LinearLR": ("lr · (start_factor + (end_factor - start_factor) · min(t/total_iters, 1))", ""),
    "ExponentialLR": ("lr · gamma^t", ""),
    "PolynomialLR": (
        "lr · (1 - min(t/total_iters, 1))^power",
        'Chen et al. 2018, "DeepLab", arXiv:1606.00915 (power 0.9)',
    ),
    "CosineAnnealingLR": (
        "eta_min + (lr - eta_min) · (1 + cos(π · t/T_max))/2",
        'Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983, equation 5, without its restarts',
    ),
    "CosineAnnealingWarmRestarts": (
        "as cosine, t counted from the last restart, T_max = T_0 · T_mult^restarts",
        'Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983, equation 5',
    ),
    "ReduceLROnPlateau": (
        "lr · factor^(how often the validation loss did not fall for patience epochs); drawn as if it never fell",
        "",
    ),
    "CyclicLR": (
        "up and down between base_lr and max_lr in lines of step_size_up and step_size_down",
        'Smith 2017, "Cyclical Learning Rates", arXiv:1506.01186',
    ),
}
"""Formula and paper of the classes that torch has and `build` needs no builder for."""


def about(class_: str) -> tuple[str, str]:
    """The formula of a class, and its source."""
    if class_ in TORCH:
        formula, paper = TORCH[class_]
        return formula, paper or "PyTorch"
    formula, _, rest = inspect.cleandoc(BUILDERS[class_].__doc__ or "").partition("\n")
    _, _, source = rest.partition("Source: ")
    return formula, " ".join(source.split()).rstrip(".")


def _part(settings: Mapping[str, Any], optimizer: Optimizer) -> LRScheduler:
    part = build(settings, optimizer)
    assert isinstance(part, LRScheduler)  # pipeline.settings lets no other into a composition
    return part


def _after_warmup(
    optimizer: Optimizer, warmup: int, start_factor: float, phases: list[LRScheduler], milestones: list[int]
) -> LRScheduler:
    """``phases`` after a linear warm-up, one from each of ``milestones`` on."""
    if warmup > 0:
        phases = [lr_scheduler.LinearLR(optimizer, start_factor, total_iters=warmup), *phases]
        milestones = [warmup, *milestones]
    return SequentialLR(optimizer, phases, milestones)
