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
from pipeline.settings.sampling import Sampling
from pipeline.training import batches, evaluation
from pipeline.training.sampling import continued


class Network:
    """A trained network that takes examples as the data set has them.

    Args:
        folder: a run's files.
        prepared: the folder of the prepared data, or what is needed of it: the summary, for texts also their tokenizer,
            for a table its encoding; None: they are with the run's files.
    """

    def __init__(self, folder: Path, prepared: Path | None = None) -> None:
        prepared = prepared or folder
        self.data = Summary.of((prepared / "summary.json").read_text(encoding="utf-8"))
        self.record = records.read(folder)
        self.network = evaluation.load(self.record.run, folder / records.WEIGHTS, self.data).eval()
        self.tokenizer = prepared / TOKENIZER
        self.encoding = encoding(prepared)

    @torch.no_grad()
    def predict(self, examples: Any, params: dict[str, Any] | None = None) -> NDArray[Any]:
        """Return the network's outputs, float32 (examples, outputs); of a regression, in the target's own units.

        A language model answers with texts, object (examples,): how each example goes on.

        Args:
            examples: images, uint8 (examples, channels, height, width); numbers, float32 (examples, features);
                texts, as a table with one column; or rows, as a table with the columns of the data set.
            params: of a language model, how text is drawn: `pipeline.settings.sampling`.
        """
        if self.data.kind == "tokens":
            how = Sampling(**params or {})
            return np.array([self.continuation(each, how) for each in _texts(examples)], object)
        if self.encoding is not None:
            x = torch.from_numpy(self.encoding.encoded(examples))
        else:
            x = torch.from_numpy(self._encoded(examples) if self.data.kind == "text" else np.array(examples))
        outputs: NDArray[np.float32] = self.network(batches.inputs(x, self.data, self.record.run)).numpy()
        return outputs if self.encoding is None else self.encoding.answers(outputs)

    def continuation(self, prompt: str, how: Sampling) -> str:
        """Return how a text goes on, by a language model; one that is empty goes on as a new line does."""
        from tokenizers import Tokenizer

        by = Tokenizer.from_file(str(self.tokenizer))
        (context,) = self.data.input_shape
        beginning = by.encode(prompt or "\n").ids
        drawn: str = by.decode(continued(self.network, beginning, context, **how.model_dump()))
        return drawn

    def _encoded(self, texts: Any) -> NDArray[np.int32]:
        from tokenizers import Tokenizer

        max_length = self.record.run.max_length
        assert max_length is not None
        by = Tokenizer.from_file(str(self.tokenizer))
        return text.padded(**text.encode(by, _texts(texts)), max_length=max_length)


def _texts(examples: Any) -> list[str]:
    return [str(each) for each in np.asarray(examples).reshape(-1)]


def _load_pyfunc(path: str) -> Network:
    return Network(Path(path))
