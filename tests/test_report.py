import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from rich.console import Console

from pipeline import comparison, pictures, report, schedules
from pipeline.records import Score
from tests.conftest import load
from tests.test_comparison import results

FIGURES = {"step": [0.7, 0.9], "constant": [0.6, 0.8]}


def text(width: int = 100) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=width), stream


def test_metrics_are_figures_over_seeds(tmp_path: Path) -> None:
    report.write_metrics(tmp_path / "metrics.json", comparison.grouped(results(FIGURES)))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics) == ["step", "constant"]
    assert metrics["step"] == {
        "test_accuracy": pytest.approx(0.8),
        "test_accuracy_std": pytest.approx(0.1414213562),
        "test_loss": pytest.approx(0.2),
        "diverged": 0,
        "dead": 0,
    }


def test_metrics_of_a_diverged_run_are_json(tmp_path: Path) -> None:
    found = [(replace(record, outcome="diverged"), Score(float("nan"), 0.1)) for record, _ in results(FIGURES)]
    report.write_metrics(tmp_path / "metrics.json", comparison.grouped(found))
    assert "NaN" not in (tmp_path / "metrics.json").read_text()
    assert json.loads((tmp_path / "metrics.json").read_text())["step"]["test_loss"] is None


def test_curves_have_the_columns_of_the_design(tmp_path: Path) -> None:
    report.write_curves(tmp_path / "curves.csv", [record for record, _ in results(FIGURES)])
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "scheduler,optimizer,base_lr,seed,epoch,lr,train_loss,val_loss,val_accuracy"
    assert [(row["scheduler"], row["seed"]) for row in rows] == [
        ("step", "0"),
        ("step", "1"),
        ("constant", "0"),
        ("constant", "1"),
    ]


def test_the_ranking_is_a_table() -> None:
    console, stream = text()
    report.print_ranking(console, "digits-mlp", comparison.ranked(comparison.grouped(results(FIGURES))), "constant")
    lines = stream.getvalue().splitlines()
    assert "over 2 seeds" in lines[0]
    assert "diverged" not in stream.getvalue()
    first = next(line for line in lines if " 1 " in line)
    assert first.split()[:5] == ["1", "step", "0.8000", "±", "0.1414"]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_ranking_fits_its_terminal(width: int) -> None:
    console, stream = text(width)
    found = results({name: [0.5, 0.6] for name in ("constant", "constant-factor", "cosine-restarts")})
    report.print_ranking(console, "digits-mlp", comparison.grouped(found), "constant")
    assert "…" not in stream.getvalue()
    assert "cosine-restarts" in stream.getvalue()
    assert ("learning curve" in stream.getvalue()) == (width >= 120)
    assert "+0.0000 ± 0.0000" in stream.getvalue()


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pictures.draw_ranking(tmp_path / "ranking.png", comparison.grouped(results(FIGURES)), "constant")
    runs = load(seeds=1).runs(examples=320)
    curves = {run.group: schedules.curve(run.schedule, run.lr, run.epochs, 10) for run in runs}
    pictures.draw_curves(tmp_path / "curves.png", curves, 40, "all")
    for name in ("ranking.png", "curves.png"):
        picture = plt.imread(tmp_path / name)
        assert picture.shape[0] > 200
        assert picture.std() > 0.02  # not blank
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_curve_is_drawn_with_characters(width: int) -> None:
    console, stream = text(width)
    report.print_curve(console, "cosine", [1.0, 0.75, 0.25, 0.0], 4)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "cosine"
    assert any("⡀" <= character <= "⣿" for character in stream.getvalue())
    assert max(map(len, lines)) <= width
