"""What is logged once a sweep is evaluated, from the command line."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.comparison.groups import best_runs
from pipeline.datasets import Summary
from pipeline.runs.records import Score
from pipeline.sweep.jobs import Evaluation
from pipeline.tracking.results import log_evaluations
from tests.helpers.commands import Command
from tests.helpers.project import FOREIGN, edit, tracked
from tests.tracking.conftest import Trained, open_store

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def test_evaluations_and_the_best_run_of_each_group_are_logged(
    root: Path, digits: Path, summary: Summary, trained: Trained
) -> None:
    store = open_store(root, summary)
    evaluated = {record.run.name: Evaluation(Score(0.25, 0.75), []) for record in trained.records}
    log_evaluations(store, trained.records, evaluated, best_runs(trained.records), trained.models, digits)
    for run in store.client.search_runs([store.experiment]):
        assert run.data.metrics["test/accuracy"] == 0.75
    published = store.client.search_logged_models([store.experiment])
    assert len(published) == len({record.run.group for record in trained.records})


@pytest.mark.slow
def test_a_verdict_is_not_replaced_by_less(pipeline: Command, project: Path) -> None:
    """The baseline joins a sweep without it; the baseline alone leaves the verdict as it is."""
    edit(project, scheduler="step", seeds=10, **{"tasks__digits-mlp__epochs": 2})
    train = pipeline("train")
    assert "constant joins, as the baseline that others are compared with" in train.stdout
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

    edit(project, scheduler="constant")
    assert "joins" not in pipeline("train").stdout
    done = pipeline("evaluate")
    assert done.returncode == 0, done.stderr
    first = comparison.data.tags["verdict"].partition("\n")[0]
    assert f"MLflow keeps the last verdict: {first}" in done.stdout
    assert [run.info.run_id for run in tracked(uri, comparison=True)] == [comparison.info.run_id]
    assert client.get_experiment(comparison.info.experiment_id).tags["mlflow.note.content"] == note
