"""A sweep trained in workers: its results, its display and its warnings."""

import io
from pathlib import Path

from rich.console import Console

from pipeline.sweep import cache
from pipeline.sweep.execution import check
from pipeline.sweep.pool import Workers
from tests.sweep.sweeping import runs, trained


def test_a_damaged_cache_entry_is_reported_once(digits: Path, tmp_path: Path) -> None:
    of = runs(scheduler=["cosine", "step"], seeds=2)
    screen, lines = Console(file=io.StringIO(), width=100), list[str]()
    with Workers(2, "cpu") as workers:
        assert check(workers, digits, of) == 16
        first = list(trained(workers, of, digits, tmp_path, warn=lines.append, screen=screen))
        assert not lines
        for done in first:
            (tmp_path / "cache" / cache.RUNS / done.record.fingerprint / "curve.csv").write_text("altered")
        again = list(trained(workers, of, digits, tmp_path, warn=lines.append, screen=screen))
    assert sorted(done.record.run.name for done in again) == sorted(run.name for run in of)
    assert {done.origin for done in first} == {done.origin for done in again} == {"trained"}
    assert len(lines) == len({line.partition(" ")[2] for line in lines}) == 4  # each line names its entry
    assert isinstance(screen.file, io.StringIO)
    assert screen.file.getvalue().count("[4/4]") == 2
