"""The three commands people use, in a real DVC repository: a clone of this project with a smaller budget."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT, SCHEDULERS, assert_ended, edit, tracked, wait_for
from tests.schedules import closed_forms

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning"),
]
EPOCHS, LR, BATCHES = 10, 0.15, 34


def run(clone: Path, *command: str, code: int = 0) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GIT_", "MLFLOW_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["COLUMNS"] = "4000"
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(clone: Path, *command: str) -> str:
    return run(clone, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", *command)


def dvc(clone: Path, *command: str, code: int = 0) -> str:
    return run(clone, sys.executable, "-m", "dvc", *command, code=code)


def store(clone: Path) -> str:
    return f"sqlite:///{clone}/mlflow.db"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git tracks here, or would, committed anew with ten epochs and two seeds, and `dvc repro` run in it."""
    folder = tmp_path_factory.mktemp("clone")
    files = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    edit(folder, **{"tasks__digits-mlp__epochs": EPOCHS, "seeds": 2})
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a clone")
    dvc(folder, "repro")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "results")
    return folder


def test_repro_trains_and_tracks_every_scheduler(clone: Path) -> None:
    found = tracked(store(clone))
    assert sorted(each.info.run_name for each in found) == sorted(
        f"{name}-s{seed}" for name in SCHEDULERS for seed in (0, 1)
    )
    for each in found:
        assert each.info.status == "FINISHED"
        per_epoch = {"lr", "train/loss", "val/loss", "val/accuracy"}
        assert per_epoch | {"test/loss", "test/accuracy", "best_epoch", "gap"} == set(each.data.metrics)
    client = MlflowClient(f"sqlite:///{clone}/mlflow.db")
    published = client.search_logged_models([found[0].info.experiment_id], max_results=100)
    names = {each.info.run_id: each.info.run_name.rsplit("-", 1)[0] for each in found}
    assert Counter(names[model.source_run_id] for model in published) == dict.fromkeys(SCHEDULERS, 1)
    best = {names[model.source_run_id]: model.source_run_id for model in published}
    for name, run_id in best.items():
        losses = {each.info.run_id: each.data.metrics["val/loss"] for each in found if names[each.info.run_id] == name}
        assert losses[run_id] == min(losses.values())
    assert not (clone / "mlruns").exists()


def test_tracked_rates_equal_an_independent_calculation(clone: Path) -> None:
    client = MlflowClient(f"sqlite:///{clone}/mlflow.db")
    for each in tracked(store(clone))[: 2 * len(SCHEDULERS)]:
        name, run_id = each.data.tags["scheduler"], each.info.run_id
        rates = [metric.value for metric in client.get_metric_history(run_id, "lr")]
        if name == "plateau":
            losses = [metric.value for metric in client.get_metric_history(run_id, "val/loss")]
            expected = closed_forms.plateau(losses, EPOCHS, LR)
        else:
            expected = closed_forms.last_batch_rates(name, EPOCHS, BATCHES, LR)
        assert rates == pytest.approx(expected, rel=1e-9), name


def test_results_agree_with_the_store(clone: Path) -> None:
    metrics = json.loads((clone / "results" / "metrics.json").read_text())
    assert list(metrics) == SCHEDULERS
    found = tracked(store(clone))[: 2 * len(SCHEDULERS)]
    for name in SCHEDULERS:
        figures = [each.data.metrics["test/accuracy"] for each in found if each.data.tags["scheduler"] == name]
        assert metrics[name]["test_accuracy"] == pytest.approx(sum(figures) / 2)
    with (clone / "results" / "curves.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(SCHEDULERS) * 2 * EPOCHS
    assert (clone / "results" / "ranking.png").exists()


def test_a_second_repro_does_nothing(clone: Path) -> None:
    (clone / "pipeline" / "__pycache__").mkdir(exist_ok=True)
    (clone / "pipeline" / "data" / "__pycache__").mkdir(exist_ok=True)
    (clone / "pipeline" / "data" / "__pycache__" / "x.pyc").write_text("compiled")
    started = time.monotonic()
    out = dvc(clone, "repro")
    assert "Data and pipelines are up to date" in out
    assert time.monotonic() - started < 10  # the README says 3; this is a bound, not a benchmark
    assert git(clone, "status", "--porcelain") == ""


def test_what_dvc_shows(clone: Path) -> None:
    shown = dvc(clone, "metrics", "show")
    assert "cosine.test_accuracy" in shown
    assert "wsd-sqrt.test_loss" in shown
    assert "digits-mlp" in dvc(clone, "exp", "show", "--csv")
    page = dvc(clone, "plots", "show", "--out", "plots")
    html = (clone / "plots" / "index.html").read_text()
    assert page
    for title in ("validation loss", "validation accuracy", "training loss", "learning rate"):
        assert title in html
    assert '"field": "scheduler"' in html  # the committed template: one line a scheduler
    assert '"base_lr"' in html
    shutil.rmtree(clone / "plots")


def test_an_experiment_trains_what_it_names_and_changes_one_line(clone: Path) -> None:
    before = len(tracked(store(clone)))
    out = dvc(clone, "exp", "run", "--name", "just-cosine", "-S", "scheduler=cosine")
    assert "trained 0 runs and took 2 from the cache" in out
    assert len(tracked(store(clone))) == before  # the store has them already ...
    found = [each for each in tracked(store(clone)) if each.data.tags.get("dvc.exp_name") == "just-cosine"]
    assert sorted(each.info.run_name for each in found) == ["cosine-s0", "cosine-s1"]  # ... and says what they are in
    changed = [
        line for line in git(clone, "diff", "-U0", "params.yaml").splitlines() if line[0] in "+-" and line[1] != line[0]
    ]
    assert changed == ["-scheduler: all", "+scheduler: cosine"]
    assert "scheduler" in dvc(clone, "params", "diff")
    assert sorted(path.name for path in (clone / "models").iterdir()) == ["cosine-s0", "cosine-s1", "sweep.json"]
    git(clone, "checkout", "-q", ".")


def test_one_changed_scheduler_is_all_that_trains(clone: Path) -> None:
    before = len(tracked(store(clone)))
    out = dvc(clone, "exp", "run", "-S", "schedulers.step.gamma=0.5")
    assert "trained 2 runs and took 42 from the cache" in out
    found = tracked(store(clone))[before:]
    assert sorted(each.info.run_name for each in found) == ["step-s0", "step-s1"]
    assert {each.data.params["scheduler.gamma"] for each in found} == {"0.5"}
    git(clone, "checkout", "-q", ".")


def test_lists_and_nested_settings(clone: Path) -> None:
    before = len(tracked(store(clone)))
    settings = ("-S", "scheduler=[cosine,step]", "-S", "schedulers.cosine.eta_min=1e-5", "-S", "seeds=[7]")
    dvc(clone, "exp", "run", *settings)
    found = tracked(store(clone))[before:]
    assert sorted(each.info.run_name for each in found) == ["cosine-s7", "step-s7"]
    cosine = next(each for each in found if each.info.run_name == "cosine-s7")
    assert cosine.data.params["scheduler.eta_min"] == "1e-05"
    git(clone, "checkout", "-q", ".")


def test_another_tasks_recipe_does_not_train_this_one_again(clone: Path) -> None:
    dvc(clone, "checkout")
    edit(clone, **{"tasks__mnist-mlp__epochs": 3})
    assert "didn't change, skipping" in dvc(clone, "repro", "--dry")
    assert "Running stage" not in dvc(clone, "repro", "--dry")
    git(clone, "checkout", "-q", ".")


def test_a_mistake_is_one_line_and_costs_nothing(clone: Path) -> None:
    before = git(clone, "status", "--porcelain")
    out = dvc(clone, "exp", "run", "-S", "task=digit-mlp", code=255)
    assert "Parameters 'tasks.digit-mlp.dataset' are missing from 'params.yaml'" in out  # DVC's own words
    git(clone, "checkout", "-q", ".")
    out = dvc(clone, "exp", "run", "-S", "scheduler=cosin", code=255)
    assert "error: params.yaml: scheduler: unknown 'cosin'; did you mean 'cosine'?" in out
    git(clone, "checkout", "-q", ".")
    dvc(clone, "checkout")  # DVC clears away what a stage makes before it runs it
    assert git(clone, "status", "--porcelain") == before
    assert (clone / "models" / "sweep.json").exists()


def test_temporary_and_queued_experiments_log_to_the_one_store(clone: Path) -> None:
    before = len(tracked(store(clone)))
    dvc(clone, "exp", "run", "--temp", "-S", "scheduler=rex", "-S", "seeds=[3]")
    dvc(clone, "exp", "run", "--queue", "-S", "scheduler=wsd,linear", "-S", "seeds=[4]")
    dvc(clone, "queue", "start", "-j", "2")
    deadline = time.monotonic() + 240
    while "Queued" in (state := dvc(clone, "queue", "status")) or "Running" in state:
        assert time.monotonic() < deadline, state
        time.sleep(2)
    assert state.count("Success") == 2, state
    found = tracked(store(clone))[before:]
    assert sorted(each.info.run_name for each in found) == ["linear-s4", "rex-s3", "wsd-s4"]
    assert all(each.data.metrics["test/accuracy"] > 0 for each in found)
    assert all(each.info.artifact_uri.startswith((clone / "mlartifacts").as_uri()) for each in found)
    for each in found:
        assert {path.name for path in Path(each.info.artifact_uri.removeprefix("file://")).iterdir()} >= {"curve.csv"}
    assert len({each.data.tags["dvc.exp_name"] for each in found}) == 3
    assert git(clone, "status", "--porcelain") == ""


def test_after_dvc_was_killed_the_next_repro_goes_on(clone: Path) -> None:
    edit(clone, seeds="[20,21,22]")
    kept = clone / ".cache" / "runs"
    before = len(list(kept.glob("[!.]*")))
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=clone,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: len(list(kept.glob("[!.]*"))) >= before + 3, 120)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) >= 4  # dvc, its shell or none, the trainer and its workers
    process.kill()
    process.wait()
    assert_ended(family[1:])
    trained = len(list(kept.glob("[!.]*"))) - before
    assert f"and took {trained} from the cache" in dvc(clone, "repro")
    names = [
        each.info.run_name for each in tracked(store(clone)) if each.info.run_name.split("-s")[-1] in ("20", "21", "22")
    ]
    assert len(names) == len(set(names)) == 3 * len(SCHEDULERS)
    assert {each.info.status for each in tracked(store(clone))} == {"FINISHED"}
    git(clone, "checkout", "-q", ".")
    dvc(clone, "checkout")
