"""The data sets. Each one is a class that registers itself when this package imports the class's module.

A new data set needs a class in a module of this package, an entry in params.yaml, and a test. `prepare` splits, encodes
and stores the data, and `read` returns a stored split.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

from pipeline.datasets.base import REGISTRY, AnyDataset, Dataset  # noqa: E402
from pipeline.datasets.input_example import encoding, example  # noqa: E402
from pipeline.datasets.prepare import prepare  # noqa: E402
from pipeline.datasets.store import (  # noqa: E402
    ENCODING,
    TOKENIZER,
    Language,
    Split,
    Summary,
    Target,
    read,
    summary,
)

__all__ = [
    "ENCODING",
    "REGISTRY",
    "TOKENIZER",
    "AnyDataset",
    "Dataset",
    "Language",
    "Split",
    "Summary",
    "Target",
    "encoding",
    "example",
    "prepare",
    "read",
    "summary",
]
