import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.comparison.groups import grouped
from pipeline.comparison.questions import questions
from pipeline.records import Score
from pipeline.report.tables import write_curves, write_learning_curves, write_metrics, write_parameters
from pipeline.training.weights import Layer, Weights
from tests.comparison.examples import groups_of, results

FIGURES = {"step": [0.7, 0.9], "constant": [0.65, 0.8]}
RUN = "scheduler,optimizer,base_lr,seed"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_are_figures_over_seeds(tmp_path: Path) -> None:
    groups = groups_of(FIGURES)
    write_metrics(tmp_path / "metrics.json", groups, questions(groups, "constant", "test_accuracy"))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics) == ["step", "constant"]
    assert metrics["step"] == {
        "test_accuracy": pytest.approx(0.8),
        "test_accuracy_std": pytest.approx(0.1414213562),
        "test_loss": pytest.approx(0.2),
        "difference": pytest.approx(0.075),
        "p": pytest.approx(0.2048327646991335),
        "verdict": "not resolved",
        "diverged": 0,
        "dead": 0,
    }
    assert "verdict" not in metrics["constant"]


def test_metrics_of_a_diverged_run_are_json(tmp_path: Path) -> None:
    found = [(replace(record, outcome="diverged"), Score(float("nan"), 0.1)) for record, _ in results(FIGURES)]
    groups = grouped(found)
    write_metrics(tmp_path / "metrics.json", groups, questions(groups, "constant", "test_loss"))
    assert "NaN" not in (tmp_path / "metrics.json").read_text()
    assert json.loads((tmp_path / "metrics.json").read_text())["step"]["test_loss"] is None


def test_without_classes_metrics_are_losses(tmp_path: Path) -> None:
    groups = grouped([(record, Score(score.test_loss, None)) for record, score in results(FIGURES)])
    write_metrics(tmp_path / "metrics.json", groups, [])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics["step"]) == ["test_loss", "test_loss_std", "diverged", "dead"]


def test_curves_have_a_row_for_each_epoch(tmp_path: Path) -> None:
    write_curves(tmp_path / "curves.csv", [record for record, _ in results(FIGURES)])
    found = rows(tmp_path / "curves.csv")
    assert ",".join(found[0]) == f"{RUN},epoch,lr,train_loss,val_loss,val_accuracy"
    runs = [("step", "0"), ("step", "1"), ("constant", "0"), ("constant", "1")]
    assert [(row["scheduler"], row["seed"]) for row in found] == runs


def test_learning_curves_have_a_row_for_each_run(tmp_path: Path) -> None:
    write_learning_curves(tmp_path / "learning_curves.csv", [record for record, _ in results(FIGURES)])
    found = rows(tmp_path / "learning_curves.csv")
    columns = "outcome,verdict,since,best_epoch,best_val_loss,train_loss,val_loss,gap"
    assert ",".join(found[0]) == f"{RUN},{columns}"
    assert [(row["outcome"], row["verdict"], row["since"]) for row in found] == [("finished", "converged", "")] * 4


def test_parameters_have_a_row_for_the_start_and_the_end_of_each_layer(tmp_path: Path) -> None:
    before, after = Weights(0.0, 1.0, 2.0, 3.0, 0.0, [4, 5]), Weights(0.1, 1.0, 2.0, 3.0, 0.0, [6, 3])
    layer = Layer("layers.1.weight", (3, 3), -1.0, 1.0, before, after)
    write_parameters(tmp_path / "parameters.csv", [(record, [layer]) for record, _ in results(FIGURES)[:1]])
    start, end = rows(tmp_path / "parameters.csv")
    columns = "layer,shape,when,mean,std,norm,largest,near_zero,low,high,histogram"
    assert ",".join(start) == f"{RUN},{columns}"
    assert [(row["shape"], row["when"], row["mean"], row["histogram"]) for row in (start, end)] == [
        ("3x3", "start", "0.0", "4 5"),
        ("3x3", "end", "0.1", "6 3"),
    ]
