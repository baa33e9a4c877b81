"""y = x^2: learn it from x = 0.1, 0.2, ..., 1.0; validate on 0.15, 0.25, ..., 0.95.

The published experiment reports its nine validation points and has no others: they are the test split, too. Nothing is
chosen by them but what `plateau` does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.published import Examples, Published


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """All nineteen points."""
    between = _squares(np.arange(15, 100, 10) / 100)
    return Published(
        kind="number",
        source="y = x^2",
        train=_squares(np.arange(1, 11) / 10),
        val=between,
        test=between,
    )


def _squares(x: Any) -> Examples:
    return Examples(x.astype(np.float32)[:, np.newaxis], (x * x).astype(np.float32))
