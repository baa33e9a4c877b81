"""The estimated cost of a sweep."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.runs.records import Record, Timing
from pipeline.sweep import cache
from pipeline.sweep.cost import Cost, duration
from pipeline.sweep.jobs import Trained
from tests.helpers.project import load


def cost(folder: Path, **changes: Any) -> Cost:
    params = load(**{"seeds": "auto", **changes})
    return Cost(params, params.runs(), 2, folder)


def record(run: Run) -> Record:
    return Record(run, "finished", [Epoch.of_network(1, 0.1, 0.5, 0.5, 0.5)], "cpu", "2", "f")


def test_an_auto_sweep_has_a_least_and_a_most_cost(tmp_path: Path) -> None:
    assert cost(tmp_path, scheduler=["constant", "step"], budget=100, lr=[0.1, 0.2, 0.4]).lines() == [
        "60 runs of digits-mlp to choose base LRs, then 20 to 100 to say which scheduler to use; cached runs cost "
        "nothing"
    ]
    one_rate = cost(tmp_path, scheduler=["constant", "step"], budget=100, lr=0.1)
    assert one_rate.lines()[0].startswith("20 to 100 runs of digits-mlp to say which scheduler to use;")
    assert cost(tmp_path, scheduler="step", lr=0.1).most == 10


def test_fixed_seeds_have_an_exact_cost(tmp_path: Path) -> None:
    assert cost(tmp_path, seeds=3, lr=0.1, scheduler="step").lines()[0].startswith("3 runs of digits-mlp;")


def test_the_cache_has_the_time_of_a_run(tmp_path: Path) -> None:
    params = load(scheduler=["constant", "step"], seeds=5, lr=0.1)
    other = load(task="square-mlp", scheduler="step", seeds=1).runs()[0]
    for name, run, seconds in (("a", params.runs()[0], 8.0), ("b", other, 99.0)):
        cache.store(tmp_path / cache.RUNS / name, record(run), Timing(0.0, seconds), b"")
    for name, damaged in (("c", "[]"), ("d", '{"run": 3}'), ("e", '{"run": {}}'), ("f", "{")):
        cache.store(tmp_path / cache.RUNS / name, record(other), Timing(0.0, 7.0), b"")
        (tmp_path / cache.RUNS / name / "run.json").write_text(damaged)
    assert Cost(params, params.runs(), 2, tmp_path).lines()[1] == "about 8 s a run: 40 s with 2 processes"


def test_without_a_cached_time_the_first_run_gives_the_estimate_once(tmp_path: Path) -> None:
    params = load(scheduler=["constant", "step"], seeds=5, lr=0.1)
    found = Cost(params, params.runs(), 1, tmp_path)
    assert len(found.lines()) == 1
    first = record(params.runs()[0])
    assert found.measured(Trained(first, Timing(0.0, 9.0), "cached")) == ""
    assert found.measured(Trained(first, Timing(0.0, 12.0), "trained")) == "about 12 s a run: 2 min with 1 process"
    assert found.measured(Trained(first, Timing(0.0, 12.0), "trained")) == ""


def test_a_sweep_of_over_an_hour_comes_with_a_smaller_one(tmp_path: Path) -> None:
    params = load(seeds="auto", lr=[0.05, 0.1, 0.2])
    found = Cost(params, params.runs(), 2, tmp_path)
    told = found.measured(Trained(record(params.runs()[0]), Timing(0.0, 100.0), "trained"))
    assert told.endswith(
        "a smaller question, about 50 runs and 42 min: "
        "`uv run dvc exp run -S 'scheduler=[constant,cosine]' -S seeds=auto -S lr=0.15`"
    )


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
