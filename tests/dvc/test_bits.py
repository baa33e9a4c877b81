"""With settings beyond the defaults, the bits are the same with one worker, with two, and after DVC was killed."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.runs import records
from tests.dvc.clones import dvc, environment, fresh_clone, store
from tests.helpers.commands import Process, run_here
from tests.helpers.data import draw_pictures
from tests.helpers.fork_requests import Request
from tests.helpers.processes import assert_all_end, wait_for
from tests.helpers.project import FOREIGN, checkpoints, contents, edit, tracked

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]
SCHEDULERS = ["cosine", "swa", "ema", "schedule-free"]
TASK = "tasks.digits-mlp"
MODEL = """
import math, time
from pathlib import Path
from torch.nn import Flatten, LayerNorm, Linear, ReLU, Sequential
class Waiting(Flatten):
    def forward(self, x):
        if self.training and Path("hold").exists() and any(Path(".cache/checkpoints").glob("[!.]*")):
            time.sleep(5)
        return super().forward(x)
def build(shape, outputs):
    first, hidden, last = Linear(math.prod(shape), 16), Linear(16, 16), Linear(16, outputs)
    return Sequential(Waiting(), first, LayerNorm(16), ReLU(), hidden, ReLU(), last)
"""
"""A network with a layer norm, which waits at each batch while there is a checkpoint and the file `hold` exists.

So no run can end before DVC is killed. The class `Waiting` keeps the network out of stacks, so no range test is run
before training.
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
    f"+{TASK}.augment": "[RandomHorizontalFlip, {name: RandomCrop, size: [8, 8], padding: 1}]",
    f"+{TASK}.precision": "bfloat16",
    f"+{TASK}.accumulate": "2",
    f"+{TASK}.no_decay": "[bias, norm]",
}
FREE = {"scheduler": "[swa,schedule-free]", "baseline": "swa", "optimizer": "adam"}
"""Changes for a second sweep with Adam, which has a schedule-free form; NAdam and Muon have none."""
NAMES = [*(f"{scheduler}-{optimizer}-s0" for scheduler in ("cosine", "ema") for optimizer in ("muon", "nadam"))]
TRAIN = ["repro", "--single-item", "train"]
"""The arguments of DVC to run the stage `train` alone."""


@pytest.fixture
def clone(tmp_path: Path, empty_store: Path) -> Iterator[Path]:
    """A clone with the user's own pictures and network, in which everything before training is done."""
    changes = {"tasks.digits-mlp.lr": 0.01, "tasks.digits-mlp.epochs": 10, "seeds": 1, "baseline": "ema"}
    (tmp_path / "clone").mkdir()
    with fresh_clone(tmp_path / "clone", empty_store, SCHEDULERS, **changes) as folder:
        (folder / "my_model.py").write_text(MODEL)
        draw_pictures(folder / "pictures", 20, (8, 8))
        edit(folder, **SETTINGS)
        for stage in ("plan", "download"):
            assert run_here(folder, stage).returncode == 0
        yield folder


def train(folder: Path, jobs: int) -> dict[str, bytes]:
    """Train without DVC and without cached runs, and return what is in models/ then."""
    done = run_here(folder, "train", PIPELINE_JOBS=str(jobs))
    assert done.returncode == 0, done.stderr
    assert "and took 0 from the cache" in done.stdout
    return contents(folder / "models")


def test_the_same_bits_after_a_kill_of_dvc_with_two_workers_and_with_one(
    clone: Path, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After DVC gets SIGKILL, all processes that it started end, and the next command resumes the runs."""
    (other := tmp_path / "other").mkdir()
    for name in ("params.yaml", "my_model.py"):
        shutil.copy(clone / name, other)
    shutil.copytree(clone / "data", other / "data")
    shutil.copy(empty_store, other)

    # DVC starts the stage without the fork server.
    settings = environment() | {"PIPELINE_JOBS": "2", "PIPELINE_CHECKPOINT_EVERY": "0"}
    (hold := clone / "hold").touch()
    process = Process(Request("dvc", TRAIN, str(clone), settings))
    wait_for(lambda: checkpoints(clone) or process.ended)
    running = process.family()
    assert len(running) >= 4  # DVC, the train stage, its workers, and perhaps DVC's shell
    process.send_signal(signal.SIGKILL)
    assert process.wait().returncode == -9
    process.end()
    assert_all_end(running)
    wait_for(lambda: not any(psutil.pid_exists(member.pid) for member in running))  # DVC treats a zombie as alive
    hold.unlink()
    assert checkpoints(clone)

    monkeypatch.setenv("PIPELINE_JOBS", "2")
    assert " of them from a checkpoint," in dvc(clone, *TRAIN)
    runs = tracked(store(clone))
    assert sorted(run.info.run_name for run in runs) == NAMES
    assert {run.info.status for run in runs} == {"FINISHED"}
    resumed = contents(clone / "models")
    assert len({resumed[f"{name}/{records.WEIGHTS}"] for name in NAMES}) == len(NAMES)
    assert train(other, jobs=1) == resumed

    for folder in (clone, other):
        edit(folder, **FREE)
    free = train(clone, jobs=2)
    assert {f"{name}-s0/{records.WEIGHTS}" for name in ("swa", "schedule-free")} < {*free}
    assert train(other, jobs=1) == free
