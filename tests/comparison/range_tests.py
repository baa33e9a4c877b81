"""Losses of range tests that were not run."""

import math

from pipeline.comparison import stability

RATES = stability.rates()


def falls(at: float, to: float = 0.2, rises: float = math.inf, start: float = 2.0, higher: float = 3.0) -> list[float]:
    """A loss that falls by half around the rate ``at``, and rises at ``rises``, in about a third of a power of ten."""

    def loss(rate: float) -> float:
        fallen = 1 / (1 + (at / rate) ** 6)
        risen = 0.0 if math.isinf(rises) else 1 / (1 + (rises / rate) ** 12)
        return start - (start - to) * fallen + (higher - to) * risen

    return [start, *map(loss, RATES)]
