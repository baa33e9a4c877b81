"""A sweep of schedulers that average weights, run from the command line: records, weights, figures and MLflow."""

import csv
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pipeline import datasets
from pipeline.runs import params, records
from pipeline.training.evaluation import load, score
from tests.helpers.commands import Command
from tests.helpers.project import edit, tracked, weights
from tests.training.fitting import CPU, fitted

NAMES = ["constant", "swa", "ema", "schedule-free"]


@pytest.mark.slow
def test_a_sweep(pipeline: Command, project: Path) -> None:
    edit(project, scheduler=f"[{','.join(NAMES)}]", seeds=1, **{"tasks__digits-mlp__epochs": 3})
    done = pipeline("train", PIPELINE_JOBS="2")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout + done.stderr
    found = weights(project)
    assert len({*found.values()}) == len(NAMES)

    wanted, summary = params.load(), datasets.summary(project / "data")
    train, val, test = (datasets.read(project / "data", split) for split in ("train", "val", "test"))
    scores = {}
    for run in wanted.runs(summary.examples["train"]):
        record, file = records.read(project / "models" / run.name), project / "models" / run.name / records.WEIGHTS
        network = load(run.workload, file, summary)
        assert score(network, val, summary, run.workload, CPU)[0] == record.last.val_loss
        trained = fitted(run, summary, (train, val))[1]
        is_published = all(weight.equal(trained[name]) for name, weight in load_file(file).items())
        assert is_published == (
            run.scheduler in ("constant", "schedule-free")
        )  # with schedule-free, the trained weights are the average
        scores[run.scheduler] = score(network, test, summary, run.workload, CPU)[1]

    assert pipeline("evaluate").returncode == 0
    with (project / "results" / "parameters.csv").open() as file_of_layers:
        rows = [row for row in csv.DictReader(file_of_layers) if (row["scheduler"], row["when"]) == ("ema", "end")]
    for row in rows:
        layer = load_file(project / "models" / "ema-s0" / records.WEIGHTS)[row["layer"]]
        assert float(row["norm"]) == pytest.approx(layer.norm().item(), 1e-4)
    assert rows
    logged = {run.data.tags["scheduler"]: run.data for run in tracked(f"sqlite:///{project}/mlflow.db")}
    assert {name: each.metrics["test/accuracy"] for name, each in logged.items()} == pytest.approx(scores)
    assert {name: each.params.get("scheduler.average.kind") for name, each in logged.items()} == {
        "constant": None,
        "swa": "swa",
        "ema": "ema",
        "schedule-free": None,
    }
