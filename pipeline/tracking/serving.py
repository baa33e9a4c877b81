"""How MLflow serves a trained network: it calls `_load_pyfunc` on a copy of this package (its loader module)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import records
from pipeline.data import TOKENIZER, Summary, text
from pipeline.training import batches, evaluation

SUMMARY = "summary.json"


class Network:
    """A trained network that takes examples as the data set has them and answers with its outputs."""

    def __init__(self, folder: Path) -> None:
        self.data = Summary(**json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
        self.record = records.read(folder)
        self.network = evaluation.load(self.record.run, folder / records.WEIGHTS, self.data).eval()
        self.tokenizer = folder / TOKENIZER

    @torch.no_grad()
    def predict(self, examples: Any, params: dict[str, Any] | None = None) -> NDArray[np.float32]:
        """Outputs, float32 (examples, outputs), of pictures (examples, channels, height, width), numbers or texts."""
        x = torch.from_numpy(self._encoded(examples) if self.data.kind == "text" else np.array(examples))
        outputs: NDArray[np.float32] = self.network(batches.inputs(x, self.data, self.record.run)).numpy()
        return outputs

    def _encoded(self, texts: Any) -> NDArray[np.int32]:
        from tokenizers import Tokenizer

        words = [str(each) for each in np.asarray(texts).reshape(-1)]
        max_length = self.record.run.max_length
        assert max_length is not None
        return text.padded(**text.encode(Tokenizer.from_file(str(self.tokenizer)), words), max_length=max_length)


def _load_pyfunc(path: str) -> Network:
    return Network(Path(path))
