"""scikit-learn's handwritten digits: 1,797 pictures of 8 x 8 pixels that come with the package.

Source: Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
doi:10.24432/C50P49; scikit-learn ships its test part. It has no split of its own: a quarter becomes the test set.
"""

from pathlib import Path

import numpy as np

from pipeline.data.arrays import Arrays

TEST_SHARE = 0.25
VAL_EXAMPLES = 270
SPLIT_SEED = 0


def load(downloads: Path) -> Arrays:
    """All of it; nothing is downloaded."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x = digits.images.astype(np.uint8)[:, np.newaxis]
    y = digits.target.astype(np.uint8)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=y)
    return Arrays(
        train_x=train_x,
        train_y=train_y,
        test_x=test_x,
        test_y=test_y,
        val_examples=VAL_EXAMPLES,
        classes=[str(name) for name in digits.target_names],
        white=16,
        source="sklearn.datasets.load_digits",
    )
