"""DVC's commands in a clone of this project with a smaller sweep."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.dvc.clones import dvc, executed, fresh_clone, git, store
from tests.helpers.project import FOREIGN, SCHEDULERS, edit, tracked
from tests.schedules import closed_forms

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]
EPOCHS, LR, BATCHES = 10, 0.15, 34
OTHER_TASK = "mnist-mlp"
"""A task that the clone does not train."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """A clone with all schedulers and two seeds, after `dvc repro`."""
    changes: dict[str, Any] = {"tasks__digits-mlp__epochs": EPOCHS, "seeds": 2}
    with fresh_clone(tmp_path_factory.mktemp("clone"), empty_store, SCHEDULERS, OTHER_TASK, **changes) as folder:
        dvc(folder, "repro")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "results")
        yield folder


def test_repro_trains_and_tracks_every_scheduler(clone: Path) -> None:
    found = tracked(store(clone))
    assert sorted(each.info.run_name for each in found) == sorted(
        f"{name}-s{seed}" for name in SCHEDULERS for seed in (0, 1)
    )
    for each in found:
        assert each.info.status == "FINISHED"
        per_epoch = {"lr", "train/loss", "val/loss", "val/accuracy"}
        assert per_epoch | {"test/loss", "test/accuracy", "best_epoch", "gap"} == set(each.data.metrics)
    client = MlflowClient(store(clone))
    published = client.search_logged_models([found[0].info.experiment_id], max_results=100)
    names = {each.info.run_id: each.info.run_name.rsplit("-", 1)[0] for each in found}
    (source,) = [model.source_run_id for model in published]
    leader = json.loads((clone / "results" / "metrics.json").read_text())["leader"]
    assert names[source] in (leader, "constant")  # the answer may recommend constant, the baseline
    losses = {run.info.run_id: run.data.metrics["val/loss"] for run in found if names[run.info.run_id] == names[source]}
    assert losses[source] == min(losses.values())
    assert not (clone / "mlruns").exists()


def by_epoch(client: MlflowClient, run_id: str, metric: str) -> list[float]:
    """Return a metric's values in the order of the epochs; MLflow returns them in the order of logging."""
    history = client.get_metric_history(run_id, metric)
    return [value for _, value in sorted((point.step, point.value) for point in history)]


def test_tracked_rates_equal_an_independent_calculation(clone: Path) -> None:
    client = MlflowClient(store(clone))
    for each in tracked(store(clone))[: 2 * len(SCHEDULERS)]:
        name, run_id = each.data.tags["scheduler"], each.info.run_id
        rates = by_epoch(client, run_id, "lr")
        if name == "plateau":
            expected = closed_forms.plateau(by_epoch(client, run_id, "val/loss"), EPOCHS, LR)
        else:
            expected = closed_forms.last_batch_rates(name, EPOCHS, BATCHES, LR)
        assert rates == pytest.approx(expected, rel=1e-9), name


def test_results_agree_with_the_store(clone: Path) -> None:
    metrics = json.loads((clone / "results" / "metrics.json").read_text())
    assert metrics["runs"] == 2 * len(SCHEDULERS)
    figures_of = json.loads((clone / "results" / "schedulers.json").read_text())
    assert list(figures_of) == SCHEDULERS
    found = tracked(store(clone))[: 2 * len(SCHEDULERS)]
    for name in SCHEDULERS:
        figures = [each.data.metrics["test/accuracy"] for each in found if each.data.tags["scheduler"] == name]
        assert figures_of[name]["test_accuracy"] == pytest.approx(sum(figures) / 2)
    with (clone / "results" / "curves.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(SCHEDULERS) * 2 * EPOCHS
    assert (clone / "results" / "ranking.png").exists()


def test_a_second_repro_runs_the_plan_alone(clone: Path) -> None:
    for folder in ("pipeline", "pipeline/datasets"):
        (clone / folder / "__pycache__").mkdir(exist_ok=True)
        (clone / folder / "__pycache__" / "x.pyc").write_text("compiled")
    out = dvc(clone, "repro")
    assert executed(out) == ["plan"]
    assert "Stage 'train' didn't change, skipping" in out
    assert git(clone, "status", "--porcelain") == ""


def test_what_dvc_shows(clone: Path) -> None:
    shown = dvc(clone, "metrics", "show")
    assert "leader" in shown
    assert "cosine.test_accuracy" not in shown
    assert "wsd-sqrt.test_loss" in dvc(clone, "metrics", "show", "results/schedulers.json")
    assert "digits-mlp" in dvc(clone, "exp", "show", "--csv")
    page = dvc(clone, "plots", "show", "--out", "plots")
    html = (clone / "plots" / "index.html").read_text()
    assert page
    for title in ("validation loss", "validation accuracy", "training loss", "learning rate"):
        assert title in html
    assert '"field": "scheduler"' in html  # the committed template uses one colour per scheduler
    assert '"field": "rev"' in html  # and one dash pattern per revision
    shutil.rmtree(clone / "plots")


def test_an_experiment_trains_what_it_names_and_changes_what_it_sets(clone: Path) -> None:
    """The experiment sets a list of schedulers, a nested setting in YAML's notation, and one new seed."""
    before = len(tracked(store(clone)))
    settings = (
        "-S",
        "scheduler=[cosine,step]",
        "-S",
        "baseline=step",
        "-S",
        "schedulers.cosine.eta_min=1e-5",
        "-S",
        "seeds=[0,7]",
    )
    out = dvc(clone, "exp", "run", "--name", "two", *settings, "train")
    assert "trained 3 runs and took 1 from the cache" in out
    found = tracked(store(clone))[before:]
    assert sorted(each.info.run_name for each in found) == ["cosine-s0", "cosine-s7", "step-s7"]
    etas = {each.data.params["scheduler.eta_min"] for each in found if each.info.run_name != "step-s7"}
    assert etas == {"1e-05"}
    named = [each for each in tracked(store(clone)) if each.data.tags.get("dvc.exp_name") == "two"]
    assert sorted(each.info.run_name for each in named) == ["cosine-s0", "cosine-s7", "step-s0", "step-s7"]
    names = [path.name for path in (clone / "models").iterdir()]
    assert sorted(names) == ["cosine-s0", "cosine-s7", "step-s0", "step-s7", "sweep.json"]
    changed = git(clone, "diff", "-U0", "params.yaml").splitlines()
    assert [line for line in changed if line.startswith("-") and not line.startswith("---")] == [
        "-scheduler: all",
        "-seeds: 2",
        "-baseline: constant",
        "-    eta_min: 1.0e-6",
    ]
    assert "scheduler" in dvc(clone, "params", "diff")
    git(clone, "checkout", "-q", ".")


def test_another_tasks_recipe_does_not_train_this_one_again(clone: Path) -> None:
    dvc(clone, "checkout")
    edit(clone, **{f"tasks__{OTHER_TASK}__epochs": 3})
    out = dvc(clone, "repro", "--dry")
    assert "Stage 'train' didn't change, skipping" in out
    assert not {"train", "evaluate"} & set(executed(out))
    git(clone, "checkout", "-q", ".")


def test_a_mistake_is_one_line_and_costs_nothing(clone: Path) -> None:
    dvc(clone, "checkout")
    before = git(clone, "status", "--porcelain")
    out = dvc(clone, "exp", "run", "-S", "tasks.digits-mlp.epochs=0", code=255)
    assert "error: params.yaml: tasks.digits-mlp.epochs: 0" in out
    assert executed(out) == ["plan"]
    for file in ("data/summary.json", "models/sweep.json", "results/metrics.json", "results/report.html"):
        assert (clone / file).exists(), file  # DVC deletes a stage's outputs before it runs the stage
    git(clone, "checkout", "-q", ".")
    assert git(clone, "status", "--porcelain") == before
