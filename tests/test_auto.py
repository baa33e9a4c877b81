"""Sweeps with `seeds: auto`, from the command line: the same runs whatever happens to them."""

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.runs import records
from tests.helpers.commands import Command, Start
from tests.helpers.processes import assert_all_end
from tests.helpers.project import edit

KILLS = 3
SMALL = {
    "seeds": "auto",
    "scheduler": "[constant,cosine,exponential]",
    "budget": 90,
    "tasks__digits-mlp__lr": "[0.05,0.2]",
    "tasks__digits-mlp__epochs": 6,
    "margin": 0.8,
}


def content(project: Path) -> dict[str, bytes]:
    """Return every file under models/."""
    models = project / "models"
    return {str(file.relative_to(models)): file.read_bytes() for file in models.rglob("*") if file.is_file()}


def forget(project: Path) -> None:
    """Remove what runs have left but the store."""
    for folder in ("models", ".cache"):
        (project / folder).rename(project.parent / f"{folder}-{time.monotonic_ns()}")


@pytest.mark.slow
def test_killed_at_random_moments_it_is_the_same_sweep_whatever_the_number_of_workers(
    pipeline: Command, start: Start, project: Path
) -> None:
    edit(project, **SMALL)
    begun = time.monotonic()
    one = pipeline("train", "--jobs", "1")
    assert one.returncode == 0, one.stderr
    assert one.stdout.startswith(
        "60 runs of digits-mlp to choose base LRs, then 30 to 90 to say which scheduler to use"
    )
    assert "round 1, 30 runs: " in one.stdout
    assert one.stdout.count("\nround ") >= 2
    seconds = time.monotonic() - begun
    whole = content(project)
    forget(project)
    draw = random.Random(7)
    for _ in range(KILLS):
        process = start("train", "--jobs", "2", "--checkpoint-every", "0")
        time.sleep(draw.uniform(0, 0.5 * seconds))
        running = process.family()
        with suppress(ProcessLookupError):  # it has just ended
            process.send_signal(signal.SIGKILL)
        process.wait()
        assert_all_end(running)
    two = pipeline("train", "--jobs", "2")
    assert content(project) == whole
    told = [line for line in two.stdout.splitlines() if line.startswith("round ")]
    assert told == [line for line in one.stdout.splitlines() if line.startswith("round ")]


@pytest.mark.slow
def test_a_larger_budget_trains_only_what_is_new(pipeline: Command, project: Path) -> None:
    edit(project, **SMALL | {"budget": 36, "margin": 0.05, "tasks__digits-mlp__lr": 0.05})
    assert "the budget is spent" in pipeline("train").stdout
    before = records.read_sweep(project / "models").runs
    edit(project, budget=70)
    more = pipeline("train")
    after = records.read_sweep(project / "models").runs
    assert set(before) < set(after)
    assert f"trained {len(after) - len(before)} runs and took {len(before)} from the cache" in more.stdout
