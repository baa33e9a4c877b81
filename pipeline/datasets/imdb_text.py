"""IMDb's reviews as one text, in an order drawn once and for all: paragraphs are lines, an empty line ends a review."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets import imdb, tokens
from pipeline.datasets.published import Published

ORDER_SEED = 0
BREAK = re.compile(r"\s*(?:<br\s*/?>\s*)+")


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """Read the reviews from where `pipeline.datasets.imdb` finds them; the test part is of the published test split.

    Raises:
        UserError: no address has them, or what it has is not the published reviews.
    """
    reviews = imdb.reviews(root)
    test = max(1, round(settings["reviews"] * settings["test_share"]))
    counts = {"train": settings["reviews"] - test, "test": test}
    texts = {}
    for name, count in counts.items():
        order = np.random.default_rng(ORDER_SEED).permutation(len(reviews[name]))[:count]
        texts[name] = "\n\n".join(BREAK.sub("\n", reviews[name].x[index]).strip() for index in order)
    return tokens.published(imdb.URL, texts["train"], settings, texts["test"])
