import csv
from pathlib import Path

import pytest

from pipeline.report.result_files import write_curves, write_learning_curves, write_mean_curves, write_parameters
from pipeline.training.weights import Layer, Weights
from tests.comparison.examples import results
from tests.report.sweeps import fixed, raced

FIGURES = {"step": [0.7, 0.9], "constant": [0.65, 0.8]}
RUN = "scheduler,optimizer,base_lr,seed"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_curves_have_a_row_for_each_epoch(tmp_path: Path) -> None:
    write_curves(tmp_path / "curves.csv", [record for record, _ in results(FIGURES)])
    found = rows(tmp_path / "curves.csv")
    assert ",".join(found[0]) == f"{RUN},epoch,lr,train_loss,val_loss,val_accuracy"
    runs = [("step", "0"), ("step", "1"), ("constant", "0"), ("constant", "1")]
    assert [(row["scheduler"], row["seed"]) for row in found] == runs


def test_mean_curves_have_a_row_for_each_epoch_of_an_arm(tmp_path: Path) -> None:
    write_mean_curves(tmp_path / "mean_curves.csv", fixed({"step": [0.7, 0.9], "constant": [0.5, 0.6]}))
    found = rows(tmp_path / "mean_curves.csv")
    assert ",".join(found[0]) == "scheduler,base_lr,seeds,epoch,lr,train_loss,val_loss,val_accuracy"
    assert [(row["scheduler"], row["seeds"], row["epoch"]) for row in found] == [
        ("step", "2", "1"),
        ("constant", "2", "1"),
    ]
    assert [float(row["val_accuracy"]) for row in found] == pytest.approx([0.8, 0.55])


def test_mean_curves_are_at_own_base_rates_and_name_optimizers(tmp_path: Path) -> None:
    write_mean_curves(tmp_path / "mean_curves.csv", raced({"step": 0.93, "constant": 0.91}, lr=[0.1, 0.2]))
    assert {(row["scheduler"], row["base_lr"]) for row in rows(tmp_path / "mean_curves.csv")} == {
        ("step", "0.1"),
        ("constant", "0.1"),
    }
    write_mean_curves(tmp_path / "mean_curves.csv", fixed({"step": [0.9, 0.8]}, optimizer=["sgd", "adam"]))
    assert [row["scheduler"] for row in rows(tmp_path / "mean_curves.csv")] == ["step with sgd", "step with adam"]


def test_mean_curves_leave_out_what_has_diverged(tmp_path: Path) -> None:
    write_mean_curves(tmp_path / "mean_curves.csv", fixed({"step": [0.9, 0.8], "constant": [0.7, 0.6]}, lost=1))
    assert [(row["scheduler"], row["seeds"]) for row in rows(tmp_path / "mean_curves.csv")] == [
        ("step", "1"),
        ("constant", "2"),
    ]
    write_mean_curves(tmp_path / "mean_curves.csv", fixed({"step": [0.9, 0.8], "constant": [0.7, 0.6]}, lost=2))
    assert rows(tmp_path / "mean_curves.csv")[0]["val_loss"] == ""


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
