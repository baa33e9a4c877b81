"""scikit-learn's handwritten digits: 1,797 pictures of 8 x 8 pixels that come with the package.

Source: Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
doi:10.24432/C50P49; scikit-learn ships its test part, without a split: a quarter becomes the test set.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.published import Examples, Published

TEST_SHARE = 0.25
VAL_EXAMPLES = 270


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """All of it; nothing is downloaded."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return Published(
        kind="image",
        source="sklearn.datasets.load_digits",
        train=Examples(digits.images.astype(np.uint8)[:, np.newaxis], digits.target.astype(np.uint8)),
        val_size=VAL_EXAMPLES,
        test_size=TEST_SHARE,
        classes=[str(name) for name in digits.target_names],
        white=16,
    )
