import csv
import json
from pathlib import Path
from typing import Any

import pytest
from dvc.compare import show_metrics

from pipeline.comparison.answer import Findings
from pipeline.report.result_files import (
    write_answer,
    write_curves,
    write_learning_curves,
    write_mean_curves,
    write_metrics,
    write_parameters,
    write_schedulers,
)
from pipeline.report.wording import headline
from pipeline.runs.params import Params
from pipeline.training.layer_statistics import Layer, Weights
from tests.comparison.examples import results
from tests.report.sweeps import fixed, raced, twelve

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


def test_mean_curves_are_at_each_arms_base_rate_and_name_optimizers(tmp_path: Path) -> None:
    write_mean_curves(tmp_path / "mean_curves.csv", raced({"step": 0.93, "constant": 0.91}, lr=[0.1, 0.2]))
    assert {(row["scheduler"], row["base_lr"]) for row in rows(tmp_path / "mean_curves.csv")} == {
        ("step", "0.1"),
        ("constant", "0.1"),
    }
    write_mean_curves(tmp_path / "mean_curves.csv", fixed({"step": [0.9, 0.8]}, optimizer=["sgd", "adam"]))
    assert [row["scheduler"] for row in rows(tmp_path / "mean_curves.csv")] == ["step with sgd", "step with adam"]


def test_mean_curves_leave_out_diverged_runs(tmp_path: Path) -> None:
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


def test_parameters_have_rows_for_the_start_and_the_end_of_each_layer(tmp_path: Path) -> None:
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


COLUMNS = 120


def written(path: Path) -> dict[str, Any]:
    text = path.read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def metrics(path: Path, findings: Findings) -> dict[str, Any]:
    write_metrics(path / "metrics.json", findings)
    return written(path / "metrics.json")


def schedulers(path: Path, findings: Findings) -> dict[str, Any]:
    write_schedulers(path / "schedulers.json", findings)
    return written(path / "schedulers.json")


def width(metrics: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> int:
    """Return the width, in columns, of what DVC prints for `dvc metrics show`."""
    show_metrics({"": {"data": {"results/metrics.json": {"data": metrics}}}})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    return max(map(len, lines))


def test_metrics_summarise_the_answer(tmp_path: Path) -> None:
    found = metrics(tmp_path, fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)}))
    assert (found.pop("low"), found.pop("high")) == (pytest.approx(3.0, abs=0.8), pytest.approx(3.0, abs=0.8))
    assert found == {
        "verdict": "use",
        "leader": "step",
        "gain": 3.0,
        "mean": 93.0,
        "against": 90.0,
        "runs": 24,
        "failed": 0,
    }


def test_no_metric_has_the_name_of_a_parameter(tmp_path: Path) -> None:
    """If a name is used twice, `dvc exp show` shows the path of the file before both columns."""
    found = metrics(tmp_path, fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)}))
    assert len(found) <= 12
    assert not set(found) & set(Params.model_fields)


def test_a_gain_in_loss_is_the_reduction_in_per_cent(tmp_path: Path) -> None:
    found = metrics(tmp_path, fixed({"step": twelve(0.9), "constant": twelve(0.8, 1)}, metric="test_loss"))
    assert (found["verdict"], found["leader"]) == ("use", "step")
    assert (found["mean"], found["against"]) == (0.1, 0.2)
    assert found["gain"] == pytest.approx(50, abs=1)
    assert found["low"] < found["gain"] < found["high"]


def test_if_the_baseline_leads_there_is_no_gain(tmp_path: Path) -> None:
    found = metrics(tmp_path, fixed({"step": twelve(0.90), "constant": twelve(0.93, 1)}))
    assert (found["verdict"], found["leader"], found["mean"]) == ("baseline", "constant", 93.0)
    assert (found["gain"], found["low"], found["high"], found["against"]) == (None,) * 4


def test_without_a_baseline_there_is_no_gain(tmp_path: Path) -> None:
    found = metrics(tmp_path, fixed({"step": twelve(0.90), "rex": twelve(0.93, 1)}))
    assert (found["verdict"], found["leader"], found["gain"], found["against"]) == ("best", "rex", None, None)


def test_a_provisional_verdict_has_a_question_mark(tmp_path: Path) -> None:
    few = {"step": [0.93, 0.931, 0.929, 0.93, 0.93], "constant": [0.80, 0.801, 0.80, 0.80, 0.80]}
    assert metrics(tmp_path, fixed(few))["verdict"] == "use?"
    assert metrics(tmp_path, fixed({"step": [0.93, 0.80], "constant": [0.80, 0.93]}))["verdict"] == "open"


def test_metrics_of_a_single_arm_and_of_one_seed(tmp_path: Path) -> None:
    alone = metrics(tmp_path, fixed({"step": twelve(0.9)}))
    assert (alone["verdict"], alone["leader"], alone["mean"], alone["runs"]) == ("nothing", "step", 90.0, 12)
    once = metrics(tmp_path, fixed({"step": [0.9], "constant": [0.8]}))
    assert (once["verdict"], once["gain"], once["low"], once["high"]) == ("open", 10.0, None, None)


def test_metrics_of_diverged_runs_are_json(tmp_path: Path) -> None:
    figures = {"step": twelve(0.9), "constant": twelve(0.8)}
    assert metrics(tmp_path, fixed(figures, lost=12, metric="test_loss"))["failed"] == 12
    found = metrics(tmp_path, fixed(figures, lost=24, metric="test_loss"))
    assert (found["failed"], found["mean"]) == (24, None)
    assert metrics(tmp_path, fixed(figures, lost=1, dead=2))["failed"] == 3


def test_dvc_shows_the_metrics_in_a_row_of_120_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"constant-factor": twelve(0.99), "constant": twelve(0.8, 1)}
    for metric in ("test_accuracy", "test_loss"):
        for optimizer in ("sgd", ["rmsprop", "adam"]):
            found = metrics(tmp_path, fixed(figures, metric=metric, optimizer=optimizer))
            assert width(found, capsys) <= COLUMNS
    longest = {
        "verdict": "baseline?",
        "leader": "constant-factor-rmsprop",
        "gain": -12.34,
        "low": -123.4,
        "high": 99.99,
    }
    assert (
        width(found | longest | {"mean": 0.001234, "against": 0.001234, "runs": 12345, "failed": 1234}, capsys)
        <= COLUMNS
    )


def test_schedulers_json_has_every_figure_of_each_arm(tmp_path: Path) -> None:
    found = schedulers(tmp_path, fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)}))
    assert list(found) == ["step", "constant"]
    step = found["step"]
    assert (step["test_accuracy"], step["test_loss"]) == (pytest.approx(0.93), pytest.approx(0.07))
    assert (step["place"], step["verdict"], step["seeds"], step["lr"]) == ("good enough", "better", 12, 0.15)
    assert step["difference"] == pytest.approx(0.03)
    assert step["low"] < step["difference"] < step["high"]
    assert 0 < step["p"] < 0.05
    assert (step["bound"], found["constant"]["bound"]) == (0, None)
    assert found["constant"]["place"] == "not needed"
    assert "verdict" not in found["constant"]


@pytest.mark.parametrize("optimizer", ["sgd", ["rmsprop", "adam"]])
def test_answer_json_has_the_leader_and_the_headline_of_the_report(tmp_path: Path, optimizer: Any) -> None:
    findings = fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)}, optimizer=optimizer)
    write_answer(tmp_path / "answer.json", findings)
    found = written(tmp_path / "answer.json")
    assert found["leader"] in schedulers(tmp_path, findings)
    assert found["headline"] == headline(findings)


def test_schedulers_json_has_only_arms(tmp_path: Path) -> None:
    found = schedulers(tmp_path, raced({"step": 0.93, "constant": 0.91}, lr=[0.1, 0.2]))
    assert list(found) == ["step", "constant"]
    assert found["step"]["lr"] == 0.1


def test_with_several_optimizers_names_include_the_optimizer(tmp_path: Path) -> None:
    findings = fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)}, optimizer=["sgd", "adam"])
    assert list(schedulers(tmp_path, findings)) == ["step-sgd", "step-adam", "constant-sgd", "constant-adam"]
    assert metrics(tmp_path, findings)["leader"] in ("step-sgd", "step-adam")


def test_dvc_can_show_every_figure_of_a_scheduler(tmp_path: Path) -> None:
    """No figure is a list or a mapping, because DVC leaves out lists and renames nested values."""
    for arm in schedulers(tmp_path, fixed({"step": twelve(0.93), "constant": twelve(0.90, 1)})).values():
        assert all(value is None or isinstance(value, str | float | int) for value in arm.values())


def test_schedulers_json_of_diverged_runs_and_of_one_seed_is_json(tmp_path: Path) -> None:
    found = schedulers(tmp_path, fixed({"step": twelve(0.9), "constant": twelve(0.8)}, lost=12, metric="test_loss"))
    assert found["step"]["test_loss"] is None
    assert found["step"]["diverged"] == 12
    assert schedulers(tmp_path, fixed({"step": [0.9], "constant": [0.8]}))["step"]["bound"] is None
