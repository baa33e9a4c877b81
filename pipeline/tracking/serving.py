"""The loader module of a published model.

MLflow calls `_load_pyfunc` on the copy of this package that it keeps with the model. What is imported here must be in
`pipeline.tracking.models.SERVING_REQUIREMENTS`; MLflow is not.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import records
from pipeline.data import TOKENIZER, Summary, encoding, text
from pipeline.training import batches, evaluation


class Network:
    """A trained network that takes examples as the data set has them.

    Args:
        folder: a run's files, with the summary of the prepared data; for texts also their tokenizer, for a table its
            encoding.
    """

    def __init__(self, folder: Path) -> None:
        self.data = Summary.of((folder / "summary.json").read_text(encoding="utf-8"))
        self.record = records.read(folder)
        self.network = evaluation.load(self.record.run, folder / records.WEIGHTS, self.data).eval()
        self.tokenizer = folder / TOKENIZER
        self.encoding = encoding(folder)

    @torch.no_grad()
    def predict(self, examples: Any, params: dict[str, Any] | None = None) -> NDArray[np.float32]:
        """Return the network's outputs, float32 (examples, outputs); of a regression, in the target's own units.

        Args:
            examples: images, uint8 (examples, channels, height, width); numbers, float32 (examples, features);
                texts, as a table with one column; or rows, as a table with the columns of the data set.
            params: not used; part of MLflow's interface.
        """
        if self.encoding is not None:
            x = torch.from_numpy(self.encoding.encoded(examples))
        else:
            x = torch.from_numpy(self._encoded(examples) if self.data.kind == "text" else np.array(examples))
        outputs: NDArray[np.float32] = self.network(batches.inputs(x, self.data, self.record.run)).numpy()
        return outputs if self.encoding is None else self.encoding.answers(outputs)

    def _encoded(self, texts: Any) -> NDArray[np.int32]:
        from tokenizers import Tokenizer

        words = [str(each) for each in np.asarray(texts).reshape(-1)]
        max_length = self.record.run.max_length
        assert max_length is not None
        return text.padded(**text.encode(Tokenizer.from_file(str(self.tokenizer)), words), max_length=max_length)


def _load_pyfunc(path: str) -> Network:
    return Network(Path(path))
