"""A sweep that is killed several times at random moments."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers.commands import Start
from tests.helpers.processes import assert_all_end, wait_for
from tests.helpers.project import checkpoints, contents, edit, statuses, tracked

KILLS, EPOCHS = 4, 10
RACE = {
    "seeds": "auto",
    "scheduler": "[constant,plateau]",
    "budget": 40,
    "tasks__digits-mlp__lr": "[0.05,0.2]",
    "tasks__digits-mlp__epochs": EPOCHS,
    "margin": 0.8,
}


def rounds(output: str) -> list[str]:
    """Return the lines of ``output`` that describe a round of the race."""
    return [line for line in output.splitlines() if line.startswith("round ")]


@pytest.mark.slow
def test_a_race_killed_at_random_moments_ends_as_if_never_killed(start: Start, project: Path) -> None:
    """The sweep is killed while workers start, train or save, or while the parent logs to MLflow.

    Every second kill waits for a checkpoint. Otherwise, on a busy machine, all kills could come before the first
    checkpoint. The undisturbed sweep also has a different number of workers.
    """
    edit(project, **RACE)
    undisturbed = project / "undisturbed"
    shutil.copytree(project, undisturbed, ignore=shutil.ignore_patterns("undisturbed"))
    alone = start("train", "--jobs", "1", folder=undisturbed).wait()
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.startswith("40 runs of digits-mlp to choose base LRs, then 20 to 40 to say which")
    assert len(rounds(alone.stdout)) >= 2

    moments = random.Random(4)
    resumed = 0
    for kill in range(KILLS):
        process = start("train", "--jobs", "2", "--checkpoint-every", "0", "--track-every", "0.1")
        process.wait_for_output("epochs in all")
        if kill % 2:
            wait_for(lambda: checkpoints(project) or process.ended)  # noqa: B023
        time.sleep(moments.uniform(0, 0.3))
        running = process.family()
        process.send_signal(signal.SIGKILL)
        assert process.wait().returncode == -9
        assert_all_end(running)
        resumed += bool(checkpoints(project))
    assert resumed >= KILLS // 2  # some kills came in the middle of a run
    done = start("train", "--jobs", "2").wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " of them from a checkpoint," in done.stdout

    assert contents(project / "models") == contents(undisturbed / "models")
    assert rounds(done.stdout) == rounds(alone.stdout)
    expected = statuses(undisturbed)
    assert {*map(tuple, expected.values())} == {("FINISHED",)}
    assert statuses(project) == expected
    for run in tracked(uri := f"sqlite:///{project}/mlflow.db"):  # every epoch was logged exactly once
        steps = [metric.step for metric in MlflowClient(uri).get_metric_history(run.info.run_id, "lr")]
        assert sorted(steps) == [*range(1, EPOCHS + 1)]
    for folder in ("models", ".cache/runs", ".cache/checkpoints"):
        assert not list((project / folder).glob(".*"))  # there are no half-written files
    assert not checkpoints(project)
