"""The learning rate of each scheduler in params.yaml, taken from papers and PyTorch's documentation, not our code.

Each function returns the rate at step t of T for the base rate lr. A step is an epoch or, for the schedulers in
`PER_BATCH`, a batch. `portion` converts a percentage in params.yaml to a number of steps.
"""

from collections.abc import Callable
from math import cos, floor, pi, sqrt

PER_BATCH = {"cyclic", "onecycle", "schedule-free"}
ETA_MIN = 1e-6


def portion(share: float, T: int, least: int = 1) -> int:
    return max(least, floor(share * T + 0.5))


def cosine(t: int, T: int, lr: float) -> float:
    return ETA_MIN + (lr - ETA_MIN) * (1 + cos(pi * t / T)) / 2


def warmed(t: int, T: int, lr: float, then: Callable[[int, int], float]) -> float:
    warmup = portion(0.1, T, least=0)
    return lr * (0.1 + 0.9 * t / warmup) if t < warmup else then(t - warmup, T - warmup)


def one_cycle(t: int, T: int, lr: float) -> float:
    top = 0.3 * T - 1
    low, end = lr / 25, lr / 25 / 1e4
    if t <= top:
        return low + (lr - low) * (1 - cos(pi * t / top)) / 2
    return end + (lr - end) * (1 + cos(pi * (t - top) / (T - 1 - top))) / 2


def cyclic(t: int, T: int, lr: float) -> float:
    # Smith 2017, section 3.2
    stepsize = portion(0.1, T)
    cycle = floor(1 + t / (2 * stepsize))
    x = abs(t / stepsize - 2 * cycle + 1)
    return lr / 4 + (lr - lr / 4) * max(0, 1 - x)


def stable_then(t: int, T: int, lr: float, down: Callable[[float], float]) -> float:
    decay = portion(0.2, T)
    return warmed(t, T, lr, lambda u, left: lr if u < left - decay else lr * down((u - left + decay) / decay))


def tri_stage(t: int, T: int, lr: float) -> float:
    # Park et al. 2019, section 3.2: a ramp-up, a hold, and an exponential decay to 1/100 of the peak
    hold, decay = portion(0.4, T, least=0), portion(0.5, T)
    return warmed(t, T, lr, lambda u, left: lr * 0.01 ** (min(max(0, u - hold), decay) / decay))


def inverse_sqrt(t: int, T: int, lr: float) -> float:
    # Vaswani et al. 2017, equation 3, without its constant, so the rate is lr at step_num = warmup
    step_num, warmup = t + 1, portion(0.1, T)
    return lr * sqrt(warmup) * min(1 / sqrt(step_num), step_num / sqrt(warmup) ** 3)


def rex(t: int, T: int, lr: float) -> float:
    z = t / T
    return lr * (1 - z) / (1 / 2 + 1 / 2 * (1 - z))


def swa(t: int, T: int, lr: float) -> float:
    # PyTorch's SWALR: after three quarters of the run, the rate falls to half the base rate in a tenth of the run
    start, anneal = portion(0.75, T), portion(0.1, T)
    alpha = (1 - cos(pi * min(max(t - start, 0) / anneal, 1))) / 2
    return lr * (1 - alpha) + lr / 2 * alpha


def schedule_free(t: int, T: int, lr: float) -> float:
    # Defazio et al. 2024, algorithm 1, with a warm-up; the factor 10 = 1/(1 - 0.9) replaces a momentum of 0.9
    warmup = max(portion(0.05, T, least=0), 1)
    return 10 * lr * min(1, (t + 1) / warmup)


RATE: dict[str, Callable[[int, int, float], float]] = {
    "constant": lambda t, T, lr: lr,
    "lambda": lambda t, T, lr: lr / (1 + 9 * t / T),
    "multiplicative": lambda t, T, lr: lr * 0.1 ** (t / T),
    "step": lambda t, T, lr: lr * 0.1 ** (t // portion(0.35, T)),
    "multistep": lambda t, T, lr: lr * 0.1 ** ((t >= portion(0.5, T)) + (t >= portion(0.75, T))),
    "constant-factor": lambda t, T, lr: lr / 3 if t < portion(0.1, T) else lr,
    "linear": lambda t, T, lr: lr * (1 - 0.9 * t / T),
    "exponential": lambda t, T, lr: lr * 0.01 ** (t / T),
    "polynomial": lambda t, T, lr: lr * (1 - t / T) ** 0.9,
    "cosine": cosine,
    "chained": lambda t, T, lr: lr * (0.1 if t < portion(0.1, T) else 1) * 0.1 ** (t / T),
    "sequential": lambda t, T, lr: lr if t < portion(0.5, T) else lr * 0.01 ** ((t - portion(0.5, T)) / T),
    "cyclic": cyclic,
    "onecycle": one_cycle,
    "cosine-restarts": lambda t, T, lr: cosine(t % portion(0.5, T), portion(0.5, T), lr),
    "warmup-cosine": lambda t, T, lr: warmed(t, T, lr, lambda u, left: cosine(u, left, lr)),
    "wsd": lambda t, T, lr: stable_then(t, T, lr, lambda u: 1 - u),
    "wsd-sqrt": lambda t, T, lr: stable_then(t, T, lr, lambda u: 1 - sqrt(u)),
    "tri-stage": tri_stage,
    "linear-to-zero": lambda t, T, lr: warmed(t, T, lr, lambda u, left: lr * (1 - u / left)),
    "inverse-sqrt": inverse_sqrt,
    "rex": rex,
    "swa": swa,
    "ema": lambda t, T, lr: lr,
    "schedule-free": schedule_free,
}
"""Maps each scheduler to its function, except plateau, which depends on the validation loss (see `plateau`)."""


def plateau(val_losses: list[float], T: int, lr: float) -> list[float]:
    """Return the rate of each epoch; it falls to a tenth after more than `patience` epochs without an improvement.

    A loss is an improvement if it is lower than the best loss by more than 1e-4 of the best loss.
    """
    patience = portion(0.1, T, least=0)
    rates, best, bad = [lr], float("inf"), 0
    for loss in val_losses[:-1]:
        if loss < best * (1 - 1e-4):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            # PyTorch does not change a rate by less than eps
            lr, bad = (lr * 0.1 if lr - lr * 0.1 > 1e-8 else lr), 0
        rates.append(lr)
    return rates


def last_batch_rates(name: str, epochs: int, batches: int, lr: float) -> list[float]:
    """Return the rate of each epoch's last batch, which MLflow shows as `lr`."""
    rate = RATE[name]
    if name in PER_BATCH:
        return [rate(epoch * batches - 1, epochs * batches, lr) for epoch in range(1, epochs + 1)]
    return [rate(epoch - 1, epochs, lr) for epoch in range(1, epochs + 1)]
