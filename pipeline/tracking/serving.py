"""The loader module of a published model.

MLflow stores a copy of this package with the model, and calls `_load_pyfunc` in that copy. `SERVING_REQUIREMENTS` in
the module `models` lists the packages that this module needs whatever the kind of data. This module must not import
MLflow.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.datasets import TOKENIZER, Summary, encoding, text
from pipeline.datasets.store import padded
from pipeline.runs import records
from pipeline.training import evaluation, training_set


class Network:
    """A trained network; its inputs have the same form as the examples in the data set.

    ``folder`` contains the files of a run and the summary of the data. For texts, it also contains a tokenizer; for
    tables, an encoding.
    """

    def __init__(self, folder: Path) -> None:
        self.data = Summary.of((folder / "summary.json").read_text(encoding="utf-8"))
        self.record = records.read(folder)
        self.network = evaluation.load(self.record.run.workload, folder / records.WEIGHTS, self.data).eval()
        self.tokenizer = folder / TOKENIZER
        self.encoding = encoding(folder)

    @torch.no_grad()
    def predict(self, examples: Any, params: dict[str, Any] | None = None) -> NDArray[Any]:
        """Return the network's outputs, float32 (examples, outputs); regression outputs are in the target's unit.

        For a language model, return the logits for the token that follows each text, float32 (examples, vocabulary).

        Args:
            examples: images, uint8 (examples, channels, height, width); numbers, float32 (examples, features); texts,
                as a table with one column; or rows of a table with the data set's columns.
            params: passed by MLflow, but not used.
        """
        if self.data.kind == "tokens":
            return np.stack([self._next_token(prompt) for prompt in _texts(examples)])
        if self.encoding is not None:
            x = torch.from_numpy(self.encoding.encoded(examples))
        else:
            x = torch.from_numpy(self._encoded(examples) if self.data.kind == "text" else np.array(examples))
        outputs: NDArray[np.float32] = self.network(training_set.inputs(x, self.data, self.record.run.workload)).numpy()
        return outputs if self.encoding is None else self.encoding.answers(outputs)

    def _next_token(self, prompt: str) -> NDArray[np.float32]:
        """Return the logits for the token after the prompt, as float32 of shape (vocabulary,).

        An empty prompt is treated as a line break.
        """
        from tokenizers import Tokenizer

        (context,) = self.data.input_shape
        tokens = Tokenizer.from_file(str(self.tokenizer)).encode(prompt or "\n").ids[-context:]
        # Pad to the length of the context, because a user's own network might accept only that length.
        window = torch.tensor([tokens + [0] * (context - len(tokens))], dtype=torch.int32)
        logits: NDArray[np.float32] = self.network(window)[0, len(tokens) - 1].numpy()
        return logits

    def _encoded(self, texts: Any) -> NDArray[np.int32]:
        from tokenizers import Tokenizer

        max_length = self.record.run.workload.max_length
        assert max_length is not None
        tokenizer = Tokenizer.from_file(str(self.tokenizer))
        return padded(**text.tokenize(tokenizer, _texts(texts)), max_length=max_length)


def _texts(examples: Any) -> list[str]:
    return [str(text) for text in np.asarray(examples).reshape(-1)]


def _load_pyfunc(path: str) -> Network:
    return Network(Path(path))
