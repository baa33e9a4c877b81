"""How MLflow serves a trained network: it calls `_load_pyfunc` on a copy of this package (its loader module)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import evaluation, records, training
from pipeline.data import Summary

SUMMARY = "summary.json"


class Network:
    """A trained network that takes pixels as the data set has them and answers with its outputs."""

    def __init__(self, folder: Path) -> None:
        self.data = Summary(**json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
        self.network = evaluation.load(records.read(folder.parent, folder.name), folder, self.data).eval()

    @torch.no_grad()
    def predict(self, pixels: NDArray[np.uint8], params: dict[str, Any] | None = None) -> NDArray[np.float32]:
        """Logits, float32 (examples, classes), of uint8 (examples, channels, height, width)."""
        outputs: NDArray[np.float32] = self.network(training.inputs(torch.from_numpy(pixels), self.data)).numpy()
        return outputs


def _load_pyfunc(path: str) -> Network:
    return Network(Path(path))
