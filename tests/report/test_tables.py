import csv
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison.answer import Findings
from pipeline.report.tables import write_curves, write_learning_curves, write_metrics, write_parameters
from pipeline.training.weights import Layer, Weights
from tests.comparison.examples import results
from tests.report.sweeps import fixed, raced, twelve

FIGURES = {"step": [0.7, 0.9], "constant": [0.65, 0.8]}
RUN = "scheduler,optimizer,base_lr,seed"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def metrics(path: Path, findings: Findings) -> dict[str, Any]:
    write_metrics(path / "metrics.json", findings)
    text = (path / "metrics.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_metrics_are_the_answer_and_what_is_known_of_each_arm(tmp_path: Path) -> None:
    found = metrics(tmp_path, fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)}))
    assert list(found) == ["answer", "step", "constant"]
    assert found["answer"] == {
        "kind": "use",
        "leader": "step",
        "good_enough": "step",
        "margin": 0.005,
        "runs": 24,
    }
    step = found["step"]
    assert (step["test_accuracy"], step["test_loss"]) == (pytest.approx(0.93), pytest.approx(0.07))
    assert (step["best"], step["verdict"], step["seeds"], step["lr"]) == (True, "better", 12, 0.15)
    assert step["difference"] == pytest.approx(0.03)
    assert 0 < step["p"] < 0.05
    assert (step["bound"], found["constant"]["bound"]) == (0, None)
    assert found["constant"]["best"] is False
    assert "verdict" not in found["constant"]


def test_metrics_are_those_of_arms_only(tmp_path: Path) -> None:
    found = metrics(tmp_path, raced({"step": 0.93, "constant": 0.91}, lr=[0.1, 0.2]))
    assert list(found) == ["answer", "step", "constant"]
    assert found["step"]["lr"] == 0.1


def test_with_several_optimizers_metrics_name_both(tmp_path: Path) -> None:
    found = metrics(tmp_path, fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)}, optimizer=["sgd", "adam"]))
    assert list(found) == ["answer", "step-sgd", "step-adam", "constant-sgd", "constant-adam"]


def test_dvc_can_show_every_metric(tmp_path: Path) -> None:
    """It leaves out lists, and shows what is nested twice as columns with dotted names."""
    for arm in metrics(tmp_path, fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)})).values():
        assert all(value is None or isinstance(value, str | float | int) for value in arm.values())


def test_metrics_of_diverged_runs_and_of_one_seed_are_json(tmp_path: Path) -> None:
    found = metrics(tmp_path, fixed({"step": twelve(0.9), "constant": twelve(0.8)}, lost=12, metric="test_loss"))
    assert found["step"]["test_loss"] is None
    assert found["step"]["diverged"] == 12
    assert metrics(tmp_path, fixed({"step": [0.9], "constant": [0.8]}))["step"]["bound"] is None


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
