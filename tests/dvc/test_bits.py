"""What people train with beyond the defaults, by `dvc exp run`: the same bits with one worker, two, and resumed."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from pipeline.runs import records
from tests.dvc.clones import dvc, environment, executed, fresh_clone, git
from tests.helpers.data import draw_pictures
from tests.helpers.processes import assert_all_end, processes_in, wait_for
from tests.helpers.project import FOREIGN

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]
SCHEDULERS = ["cosine", "swa", "ema", "schedule-free"]
TASK = "tasks.digits-mlp"
MODEL = """
import math
from torch.nn import Flatten, LayerNorm, Linear, ReLU, Sequential
def build(shape, outputs):
    first, hidden, last = Linear(math.prod(shape), 16), Linear(16, 16), Linear(16, outputs)
    return Sequential(Flatten(), first, LayerNorm(16), ReLU(), hidden, ReLU(), last)
"""
"""With a norm; and of no class that is trained in stacks, so that no range test, which takes longest, comes first."""
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
FREE = ["scheduler=[swa,schedule-free]", "baseline=swa", "optimizer=adam"]
"""Changes of an experiment that goes on from there; schedule-free has no form of the others' optimizers."""
NAMES = [*(f"{scheduler}-{optimizer}-s0" for scheduler in ("cosine", "ema") for optimizer in ("muon", "nadam"))]


def command(*changes: str) -> list[str]:
    """Return the arguments of DVC for an experiment that trains."""
    return ["exp", "run", *(word for change in changes for word in ("-S", change)), "train"]


FIRST = command(*(f"{key}={value}" for key, value in SETTINGS.items()))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """A project of four schedulers, with pictures and a network of its user's."""
    changes = {"tasks.digits-mlp.lr": 0.01, "tasks.digits-mlp.epochs": 10, "seeds": 1, "baseline": "ema"}
    with fresh_clone(tmp_path_factory.mktemp("bits"), empty_store, **changes) as folder:
        content = YAML().load(folder / "params.yaml")
        content["schedulers"] = {name: content["schedulers"][name] for name in SCHEDULERS}
        content["tasks"] = {"digits-mlp": content["tasks"]["digits-mlp"]}
        YAML().dump(content, folder / "params.yaml")
        (folder / "my_model.py").write_text(MODEL)
        draw_pictures(folder / "pictures", 20, (8, 8))
        (folder / ".gitignore").write_text(f"{(folder / '.gitignore').read_text()}/pictures\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "four schedulers")
        yield folder


def trained(clone: Path) -> dict[str, bytes]:
    """Return the bytes of all that `train` has written: weights, curves and settings of each run."""
    files = [path for path in (clone / "models").rglob("*") if path.is_file()]
    return {str(path.relative_to(clone)): path.read_bytes() for path in files}


def forget(clone: Path) -> None:
    """Undo an experiment, and remove its runs."""
    git(clone, "checkout", "-q", ".")
    for folder in ("models", ".cache/runs", ".cache/checkpoints", ".dvc/cache"):
        shutil.rmtree(clone / folder, ignore_errors=True)


def test_the_same_bits_with_one_worker_and_with_two_and_after_a_kill(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_JOBS", "1")
    assert executed(out := dvc(clone, *FIRST)) == ["plan", "download", "train"]
    assert "trained 4 runs and took 0 from the cache" in out
    whole = trained(clone)
    assert sorted(path.parent.name for path in (clone / "models").glob("*/model.safetensors")) == NAMES
    assert len({whole[f"models/{name}/{records.WEIGHTS}"] for name in NAMES}) == len(NAMES)
    dvc(clone, *command(*FREE))
    free = trained(clone)
    assert {f"models/{name}-s0/{records.WEIGHTS}" for name in ("swa", "schedule-free")} < {*free}

    forget(clone)
    monkeypatch.setenv("PIPELINE_JOBS", "2")
    kept = clone / ".cache"
    with subprocess.Popen(
        ["python", "-m", "dvc", *FIRST],
        cwd=clone,
        env=environment(cold=False) | {"PIPELINE_CHECKPOINT_EVERY": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        wait_for(lambda: [*kept.glob("checkpoints/[!.]*")] or process.poll() is not None)
        running = processes_in(clone)
        for each in running:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    assert_all_end(running)
    wait_for(lambda: not any(psutil.pid_exists(each.pid) for each in running))  # or DVC takes one for alive
    assert [*kept.glob("checkpoints/[!.]*")]  # it was in the middle
    out = dvc(clone, *command())  # the settings are in params.yaml already
    assert "from a checkpoint on" in out
    assert trained(clone) == whole
    dvc(clone, *command(*FREE))
    assert trained(clone) == free
