"""Made-up losses of range tests."""

import math

from pipeline.comparison import stability

RATES = stability.rates()


def falls(at: float, to: float = 0.2, rises: float = math.inf, start: float = 2.0, higher: float = 3.0) -> list[float]:
    """Return losses that fall around the rate ``at`` and rise around ``rises``, both within a third of a decade."""

    def loss(rate: float) -> float:
        fallen = 1 / (1 + (at / rate) ** 6)
        risen = 0.0 if math.isinf(rises) else 1 / (1 + (rises / rate) ** 12)
        return start - (start - to) * fallen + (higher - to) * risen

    return [start, *map(loss, RATES)]
