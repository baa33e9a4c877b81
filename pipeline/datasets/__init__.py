"""The data: one module a source, all answering the same question.

A source's ``load(settings, root)`` answers with `Published`: what is there, train and perhaps val and test. `prepare`
sets aside what is missing and stores all three; `read` reads one split back.
"""

from pipeline.datasets.prepare import prepare
from pipeline.datasets.store import (
    ENCODING,
    TOKENIZER,
    Language,
    Split,
    Summary,
    Target,
    encoding,
    example,
    read,
    summary,
)

__all__ = [
    "ENCODING",
    "TOKENIZER",
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
