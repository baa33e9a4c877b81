"""scikit-learn's wines."""

from pathlib import Path

import numpy as np

from pipeline.datasets.base import Dataset
from pipeline.datasets.raw import RawData, RawSplit


class Wine(Dataset):
    """178 wines of three growers, with 13 standardized measurements each.

    Source: Aeberhard & Forina 1991, "Wine", UCI Machine Learning Repository, doi:10.24432/C5PC7J; scikit-learn ships
    it without a split.
    """

    kind = "number"

    name: str = "wine"

    def load(self, root: Path) -> RawData:
        from sklearn.datasets import load_wine

        wine = load_wine()
        x = (wine.data - wine.data.mean(0)) / wine.data.std(0)
        return RawData(
            source="sklearn.datasets.load_wine",
            train=RawSplit(x.astype(np.float32), wine.target.astype(np.uint8)),
            val_size=0.2,
            classes=[str(name) for name in wine.target_names],
        )
