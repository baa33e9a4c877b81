"""Random accuracies of schedulers whose true differences are known."""

import numpy as np

RANDOM = np.random.default_rng(3)
SEEDS = 30
NOISE = RANDOM.normal(0, 0.002, (6, SEEDS))
COMMON = 0.8 + RANDOM.normal(0, 0.01, SEEDS)


def figures(**means: float) -> dict[str, list[float]]:
    """Return accuracies, keyed by scheduler; ``means`` are the true gains in points."""
    noise = iter(NOISE)
    return {name.replace("_", "-"): list(COMMON + up / 100 + next(noise)) for name, up in means.items()}
