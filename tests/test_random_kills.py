"""A sweep that is killed again and again, at random moments."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.helpers.commands import Start
from tests.helpers.processes import assert_all_end, wait_for
from tests.helpers.project import SCHEDULERS, checkpoints, contents, edit, statuses, tracked

KILLS, EPOCHS = 8, 160


@pytest.mark.slow
def test_killed_at_random_moments_a_sweep_ends_as_if_nothing_had_been(start: Start, project: Path) -> None:
    """The moments are random: while workers start, train, save or tell, and while MLflow is told.

    Every second one comes after a checkpoint, or on a busy machine all would come before the first.
    """
    schedulers = SCHEDULERS[::5]
    edit(project, scheduler=schedulers, seeds=1, **{"tasks__digits-mlp__epochs": EPOCHS})
    undisturbed = project / "undisturbed"
    shutil.copytree(project, undisturbed, ignore=shutil.ignore_patterns("undisturbed"))
    assert start("train", folder=undisturbed).wait().returncode == 0

    moments = random.Random(4)
    resumed = 0
    for kill in range(KILLS):
        process = start("train", "--jobs", "2", "--checkpoint-every", "0.1", "--track-every", "0.1")
        process.wait_for_output("epochs in all")
        if kill % 2:
            wait_for(lambda: checkpoints(project) or process.ended)  # noqa: B023
        time.sleep(moments.uniform(0, 0.3))
        running = process.family()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert_all_end(running)
        resumed += bool(checkpoints(project))
    assert resumed >= KILLS // 2  # or the moments are none in the middle of a run
    done = start("train").wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from a checkpoint on" in done.stdout

    assert contents(project / "models") == contents(undisturbed / "models")
    assert statuses(project) == {f"{name}-s0": ["FINISHED"] for name in schedulers}
    for run in tracked(uri := f"sqlite:///{project}/mlflow.db"):  # without a gap or a double step
        steps = [metric.step for metric in MlflowClient(uri).get_metric_history(run.info.run_id, "lr")]
        assert sorted(steps) == [*range(1, EPOCHS + 1)]
    for folder in ("models", ".cache/runs", ".cache/checkpoints"):
        assert not list((project / folder).glob(".*"))  # nothing half-written is left
    assert not checkpoints(project)
