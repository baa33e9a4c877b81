"""scikit-learn's handwritten digits."""

from pathlib import Path

import numpy as np

from pipeline.datasets.base import Dataset
from pipeline.datasets.raw import RawData, RawSplit

TEST_SHARE = 0.25
VAL_EXAMPLES = 270


class Digits(Dataset):
    """1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Source: Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    doi:10.24432/C50P49. scikit-learn includes only the test part of the published data set. Here, a quarter of that
    part is the test split.
    """

    name: str = "digits"

    def load(self, root: Path) -> RawData:
        from sklearn.datasets import load_digits

        digits = load_digits()
        return RawData(
            source="sklearn.datasets.load_digits",
            train=RawSplit(digits.images.astype(np.uint8)[:, np.newaxis], digits.target.astype(np.uint8)),
            val_size=VAL_EXAMPLES,
            test_size=TEST_SHARE,
            classes=[str(name) for name in digits.target_names],
            white=16,
        )
