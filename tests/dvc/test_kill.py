"""DVC is killed, which nobody can hinder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dvc.clones import dvc, environment, store
from tests.helpers.processes import assert_all_end, processes_in, wait_for
from tests.helpers.project import FOREIGN, edit, tracked

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]


def test_after_dvc_was_killed_the_next_repro_goes_on(small: Path) -> None:
    edit(small, scheduler="constant", seeds=40, **{"tasks__digits-mlp__epochs": 20})
    dvc(small, "repro", "download")
    kept = small / ".cache" / "runs"
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--single-item", "train"],
        cwd=small,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: len(list(kept.glob("[!.]*"))) >= 3)
        running = processes_in(small)
        assert len(running) >= 4  # dvc, its shell or none, the trainer and its workers
        process.kill()
        process.wait()
        assert_all_end(running)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    trained = len(list(kept.glob("[!.]*")))
    assert f"and took {trained} from the cache" in dvc(small, "repro", "train")
    runs = tracked(store(small))
    names = [each.info.run_name for each in runs]
    assert len(names) == len(set(names)) == 40
    assert {each.info.status for each in runs} == {"FINISHED"}
