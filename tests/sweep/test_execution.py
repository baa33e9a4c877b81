"""Train a sweep in workers: results, display and warnings."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.errors import ExternalError
from pipeline.sweep import cache
from pipeline.sweep.execution import check
from pipeline.sweep.pool import Workers
from tests.sweep.sweeping import runs, trained

DEADLY = """
import os, signal, torch
class Deadly(torch.nn.Linear):  # depends on values, so its runs are trained one by one
    def forward(self, x):
        if x.min().item() < 0 or (self.training and torch.initial_seed() == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x.flatten(1))
def build(shape, classes):
    return Deadly(64, classes)
"""


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


def test_a_run_that_kills_its_worker_fails_alone(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deadly.py").write_text(DEADLY)
    of = runs(scheduler="cosine", seeds=3, **{"tasks__digits-mlp__model": {"name": "deadly:build"}})
    failed: dict[str, str] = {}
    with Workers(2, "cpu") as workers:
        assert check(workers, digits, of) == 1
        done = list(trained(workers, of, digits, tmp_path, stack_size=1, warn=pytest.fail, failed=failed))
        assert sorted(each.record.run.name for each in done) == ["cosine-s0", "cosine-s2"]
        assert failed == {"cosine-s1": "a worker process was ended from outside"}
        with pytest.raises(ExternalError, match="ended from outside; too little memory"):
            list(trained(workers, of[1:2], digits, tmp_path, stack_size=1, warn=pytest.fail))
