"""The inputs of a sweep alone decide its outputs: everything else leaves every bit as it is."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.dvc.clones import dvc, environment, executed, fresh_clone, git, store
from tests.helpers.commands import Process
from tests.helpers.data import draw_pictures
from tests.helpers.fork_requests import Request
from tests.helpers.processes import assert_all_end, wait_for
from tests.helpers.project import FOREIGN, checkpoints, contents, edit, tracked, weights

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]
TASK = "tasks.digits-mlp"
MODEL = """
import math, time
from pathlib import Path
from torch.nn import Flatten, LayerNorm, Linear, ReLU, Sequential
def is_held():
    return Path("hold").exists() and any(Path(".cache/checkpoints").glob("[!.]*"))
class Waiting(Flatten):
    def forward(self, x):
        if self.training and x.isfinite().all() and is_held():
            time.sleep(5)
        return super().forward(x)
def build(shape, outputs):
    first, hidden, last = Linear(math.prod(shape), 16), Linear(16, 16), Linear(16, outputs)
    return Sequential(Waiting(), first, LayerNorm(16), ReLU(), hidden, ReLU(), last)
"""
"""A network with a layer norm, which waits at each batch while there is a checkpoint and the file `hold` exists.

So no run can end before DVC is killed. The forward pass depends on values, so the network fits into no stack, and no
range test is run before training.
"""
SETTINGS = {
    "scheduler": "[cosine,ema]",
    "optimizer": "[nadam,muon]",
    "+optimizers.nadam": "{class: NAdam, weight_decay: 0.01}",
    "+optimizers.muon": "{class: Muon, momentum: 0.9, rest: {class: NAdam, lr: 0.003}}",
    "+schedulers.cosine.average": "{kind: ema, horizon: 20%}",
    f"{TASK}.dataset": "{name: image-folder, path: pictures, size: [8, 8]}",
    f"{TASK}.model": "my_model:build",
    f"{TASK}.batch_size": "8",
    f"+{TASK}.clip_grad_norm": "1.0",
    f"+{TASK}.label_smoothing": "0.1",
    f"+{TASK}.precision": "bfloat16",
    f"+{TASK}.accumulate": "2",
    f"+{TASK}.no_decay": "[bias, norm]",
}
NAMES = [*(f"{scheduler}-{optimizer}-s0" for scheduler in ("cosine", "ema") for optimizer in ("muon", "nadam"))]


@pytest.fixture
def clone(tmp_path: Path, empty_store: Path) -> Iterator[Path]:
    """A clone with the user's own pictures and network and with settings beyond the defaults, all committed."""
    changes = {f"{TASK}.lr": 0.01, f"{TASK}.epochs": 10, "seeds": 1, "baseline": "ema"}
    (tmp_path / "clone").mkdir()
    with fresh_clone(tmp_path / "clone", empty_store, ["cosine", "ema"], **changes) as folder:
        (folder / "my_model.py").write_text(MODEL)
        draw_pictures(folder / "pictures", 20, (8, 8))
        edit(folder, **SETTINGS)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "pictures and a network")
        yield folder


def kill_while_training(clone: Path) -> None:
    """Start `dvc repro`, kill DVC after the first checkpoint, and check that all processes which DVC started end.

    DVC's shell waits for the stage, as dash does on Debian, instead of replacing itself with the stage.
    """
    (hold := clone / "hold").touch()
    (shell := clone.parent / "shell").write_text('#!/bin/sh\n/bin/sh "$@"\nexit\n')
    shell.chmod(0o755)
    # `environment` lets DVC start the stages without the fork server, as it does for users.
    settings = environment() | {"PIPELINE_JOBS": "2", "PIPELINE_CHECKPOINT_EVERY": "0", "SHELL": str(shell)}
    process = Process(Request("dvc", ["repro"], str(clone), settings))
    wait_for(lambda: checkpoints(clone) or process.ended)
    running = process.family()
    assert len(running) >= 5  # DVC, its shell, the train stage, and the stage's workers
    process.send_signal(signal.SIGKILL)
    assert process.wait().returncode == -9
    process.end()
    assert_all_end(running)
    wait_for(lambda: not any(psutil.pid_exists(member.pid) for member in running))  # DVC treats a zombie as alive
    hold.unlink()
    assert checkpoints(clone)


def test_outputs_depend_on_inputs_alone(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, folder, number of workers and a kill of DVC change nothing.

    In the first clone, one worker trains all runs. In the other, two workers are killed with DVC, and the next `dvc
    repro` resumes their runs.
    """
    git(clone, "clone", "-q", str(clone), str(other := tmp_path / "other"))
    monkeypatch.setenv("PIPELINE_JOBS", "1")
    out = dvc(clone, "repro")
    assert executed(out) == ["plan", "download", "train", "evaluate"]
    assert "trained 4 runs and took 0 from the cache" in out

    kill_while_training(other)
    monkeypatch.setenv("PIPELINE_JOBS", "2")
    out = dvc(other, "repro")
    assert executed(out) == ["plan", "train", "evaluate"]
    assert "trained 4 runs, " in out
    assert " of them from a checkpoint," in out
    assert "Warning" not in out  # Python would print a warning to standard error

    assert (clone / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()
    for folder in ("data", "models"):
        assert contents(clone / folder) == contents(other / folder)
    trained = weights(other)
    assert sorted(trained) == NAMES
    assert len({*trained.values()}) == len(NAMES)
    for each in (clone, other):
        changed = {line.split()[-1] for line in git(each, "status", "--short").splitlines()}
        assert changed <= {"dvc.lock", "results/metrics.json"}
        runs = tracked(store(each))
        assert sorted(run.info.run_name for run in runs) == NAMES
        assert {run.info.status for run in runs} == {"FINISHED"}
