"""Weights that are not those of the run are refused."""

from pathlib import Path

import pytest

from pipeline import records
from pipeline.data import Summary
from pipeline.errors import UserError
from pipeline.records import Record
from pipeline.training import evaluation
from tests.conftest import load


@pytest.mark.parametrize("content", [None, b"", b"x" * 100, b"{}\n"])
def test_other_weights_are_refused(tmp_path: Path, summary: Summary, content: bytes | None) -> None:
    (run, *_) = load(scheduler="step").runs(1077)
    record = Record(run, "finished", [], "cpu", "2", "fingerprint")
    if content is not None:
        (tmp_path / records.WEIGHTS).write_bytes(content)
    with pytest.raises(UserError, match="not the weights of this run") as raised:
        evaluation.load(record, tmp_path, summary)
    assert "\n" not in str(raised.value)
