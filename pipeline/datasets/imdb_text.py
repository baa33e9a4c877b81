"""IMDb's film reviews as a single text for a language model."""

import re
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.datasets import imdb
from pipeline.datasets.raw import RawData
from pipeline.datasets.tokens import Tokens

ORDER_SEED = 0
BREAK = re.compile(r"\s*(?:<br\s*/?>\s*)+")


class IMDbText(Tokens):
    """IMDb's film reviews, joined into a single text in a fixed random order.

    Each paragraph of a review is one line, and reviews are separated by empty lines.

    Source: see `pipeline.datasets.imdb`. The test part of the text comes from the published test split.
    """

    name: str = "imdb-text"
    reviews: Annotated[int, Field(ge=2, le=25_000)] = 25_000
    """Number of reviews to use. `test_share` is the share of these reviews that comes from the published test split."""

    def load(self, root: Path) -> RawData:
        reviews = imdb.reviews(root)
        test = max(1, round(self.reviews * self.test_share))
        counts = {"train": self.reviews - test, "test": test}
        texts = {}
        for name, count in counts.items():
            order = np.random.default_rng(ORDER_SEED).permutation(len(reviews[name]))[:count]
            texts[name] = "\n\n".join(BREAK.sub("\n", reviews[name].x[index]).strip() for index in order)
        return self.split(imdb.URL, texts["train"], texts["test"])
