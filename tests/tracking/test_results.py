"""Of an evaluated sweep, only the recommended model is published in MLflow, unless all models are requested."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.runs.metric import Figures, network_figures
from pipeline.runs.records import Record
from pipeline.tracking.experiment import TrackedSweep
from tests.helpers.commands import Command
from tests.helpers.project import FOREIGN, edit, tracked
from tests.tracking.conftest import Trained, log_results, open_tracker, store, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)
SEEDS = 10


def scored(sweep: TrackedSweep, trained: Trained, accuracies: dict[str, float]) -> list[tuple[Record, Figures]]:
    """Return ten runs per scheduler, with copied files; their test accuracies are just above the given ones."""
    runs = []
    for record in (trained.record, trained.other):
        for seed in range(SEEDS):
            run = record.run.with_seed(seed)
            shutil.copytree(trained.folder(record), sweep.models / run.name)
            accuracy = accuracies[run.scheduler] + 0.001 * (seed % 3)
            runs.append((replace(record, run=run, fingerprint=run.name), network_figures(1 - accuracy, accuracy)))
    return runs


@pytest.fixture
def sweep_of_ten(sweep: TrackedSweep) -> TrackedSweep:
    params = wanted(seeds=SEEDS, baseline="sequential", metric="test_accuracy", margin=1)
    return replace(sweep, params=params, models=sweep.root / "models", fingerprint="abc")


def published(root: Path) -> list[str]:
    """Return the schedulers of all published models."""
    client, experiment = store(root)
    models = client.search_logged_models([experiment])
    return sorted(model.name.removeprefix("digits-mlp-") for model in models)


def champion(root: Path) -> str | None:
    client, _ = store(root)
    models = client.search_registered_models()
    if not models:
        return None
    return str(client.get_model_version_by_alias("digits-mlp", "champion").tags["scheduler"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accuracies", "kind", "model"),
    [
        ({"sequential": 0.8, "step": 0.9}, "use", "step"),
        ({"sequential": 0.9, "step": 0.8}, "baseline", "sequential"),
    ],
)
def test_the_recommended_model_is_published_and_champion(
    sweep_of_ten: TrackedSweep, trained: Trained, digits: Path, accuracies: dict[str, float], kind: str, model: str
) -> None:
    sweep, root = sweep_of_ten, sweep_of_ten.root
    assert log_results(open_tracker(sweep), sweep, scored(sweep, trained, accuracies), digits) == kind
    assert published(root) == [model]
    assert champion(root) == model
    client, experiment = store(root)
    runs = client.search_runs([experiment], "tags.kind IS NULL")
    assert len(runs) == 2 * SEEDS
    for run in runs:
        assert run.data.metrics["test/accuracy"] == pytest.approx(accuracies[run.data.tags["scheduler"]], abs=0.003)


@pytest.mark.slow
def test_of_equally_good_schedulers_the_simplest_is_published(
    sweep_of_ten: TrackedSweep, trained: Trained, digits: Path
) -> None:
    sweep = sweep_of_ten
    equal = scored(sweep, trained, {"sequential": 0.9, "step": 0.9})
    assert log_results(open_tracker(sweep), sweep, equal, digits) in ("same", "baseline")
    assert len(published(sweep.root)) == 1
    assert [champion(sweep.root)] == published(sweep.root)


def test_without_a_recommendation_the_leader_is_published_but_not_champion(
    sweep: TrackedSweep, trained: Trained, digits: Path
) -> None:
    """One seed per scheduler is too few for a recommendation. The other model is published only on request."""
    records = [trained.record, trained.other]
    both = [(record, network_figures(0.5 - number / 10, 0.75 + number / 10)) for number, record in enumerate(records)]
    tracker = open_tracker(sweep)
    log_results(tracker, sweep, both, digits)
    assert published(sweep.root) == ["step"]
    assert champion(sweep.root) is None
    for _ in range(2):
        tracker.publish_all(records, digits)
        assert published(sweep.root) == ["sequential", "step"]


def test_a_single_schedulers_model_is_published(sweep: TrackedSweep, trained: Trained, digits: Path) -> None:
    tracker = open_tracker(sweep)
    assert log_results(tracker, sweep, [(trained.other, network_figures(0.5, 0.75))], digits) == "nothing"
    assert published(sweep.root) == ["step"]
    assert tracker.last_verdict() == ""


@pytest.mark.slow
def test_a_sweep_without_a_comparison_keeps_the_last_verdict(pipeline: Command, project: Path) -> None:
    """A baseline that a sweep lacks is added; a sweep with only the baseline does not change the verdict."""
    edit(project, scheduler="step", seeds=10, **{"tasks__digits-mlp__epochs": 2})
    train = pipeline("train")
    assert "constant is added as the baseline that the others are compared with" in train.stdout
    assert "trained 20 runs" in train.stdout
    assert pipeline("evaluate").returncode == 0
    uri = f"sqlite:///{project}/mlflow.db"
    (comparison,) = tracked(uri, comparison=True)
    metrics, params = comparison.data.metrics, comparison.data.params
    assert sum(metrics[name] for name in ("better", "worse", "equivalent", "unresolved")) == 1
    assert "difference/step" in metrics
    assert metrics["runs"] == 20
    assert (params["scheduler"], params["seeds"], params["baseline"]) == ("constant, step", "10", "constant")
    client = MlflowClient(uri)
    note = client.get_experiment(comparison.info.experiment_id).tags["mlflow.note.content"]
    assert len(published(project)) == 1
    track = pipeline("track", "--all-models")
    assert track.stdout.strip().endswith("has all 20 runs of digits-mlp, 0 of them new, and a model of each scheduler")
    assert published(project) == ["constant", "step"]

    edit(project, scheduler="constant")
    assert "joins" not in pipeline("train").stdout
    done = pipeline("evaluate")
    assert done.returncode == 0, done.stderr
    first = comparison.data.tags["verdict"].partition("\n")[0]
    assert f"MLflow keeps the last verdict: {first}" in done.stdout
    assert [run.info.run_id for run in tracked(uri, comparison=True)] == [comparison.info.run_id]
    assert client.get_experiment(comparison.info.experiment_id).tags["mlflow.note.content"] == note
