"""The data: one module a source, all answering the same question.

A source's ``load(downloads)`` returns `Arrays`: what is published, train and test. `prepare` carves the
validation part from the training part and stores all three; `read` reads one part back.
"""

from pipeline.data.store import Part, Summary, example, prepare, read, summary

__all__ = ["Part", "Summary", "example", "prepare", "read", "summary"]
