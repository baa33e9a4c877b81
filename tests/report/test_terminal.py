import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
from rich.console import Console

from pipeline.comparison import questions as comparison
from pipeline.comparison.questions import Group, Question
from pipeline.records import Score
from pipeline.report import figures as pictures
from pipeline.report import terminal as report
from pipeline.schedules import curve
from tests.comparison.test_questions import results
from tests.conftest import load

FIGURES = {"step": [0.7, 0.9], "constant": [0.65, 0.8]}


def sweep(figures: dict[str, list[float]] = FIGURES, **changes: Any) -> tuple[list[Group], list[Question]]:
    groups = comparison.grouped(results(figures, **changes))
    return groups, comparison.questions(groups, "constant", "test_accuracy")


def text(width: int = 100) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=width), stream


def test_metrics_are_figures_over_seeds(tmp_path: Path) -> None:
    report.write_metrics(tmp_path / "metrics.json", *sweep())
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


def test_metrics_of_a_diverged_run_are_json(tmp_path: Path) -> None:
    found = [(replace(record, outcome="diverged"), Score(float("nan"), 0.1)) for record, _ in results(FIGURES)]
    groups = comparison.grouped(found)
    report.write_metrics(tmp_path / "metrics.json", groups, comparison.questions(groups, "constant", "test_loss"))
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
    groups, questions = sweep()
    ranking = comparison.ranked(groups, "test_accuracy")
    report.print_ranking(console, "digits-mlp", ranking, "test_accuracy", questions)
    lines = stream.getvalue().splitlines()
    assert "over 2 seeds" in lines[0]
    assert "diverged" not in stream.getvalue()
    first = next(line for line in lines if " 1 " in line)
    assert first.split()[:5] == ["1", "step", "0.8000", "±", "0.1414"]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_ranking_fits_its_terminal(width: int) -> None:
    console, stream = text(width)
    groups, questions = sweep({name: [0.5, 0.6] for name in ("constant", "constant-factor", "cosine-restarts")})
    report.print_ranking(console, "digits-mlp", groups, "test_accuracy", questions)
    report.print_answers(console, groups, questions, "test_accuracy")
    assert "…" not in stream.getvalue()
    assert "cosine-restarts" in stream.getvalue()
    assert ("learning curve" in stream.getvalue()) == (width >= 200)
    assert ("final LR" in stream.getvalue()) == (width >= 100)
    assert "+0.0000" in stream.getvalue()
    lines = [line for line in stream.getvalue().splitlines() if "`" not in line]  # a command is in one piece
    assert max(map(len, lines)) <= width


def test_a_ranking_with_long_names_and_failures_fits() -> None:
    console, stream = text(120)
    found = results({name: [0.5, 0.6] for name in ("constant", "constant-factor", "cosine-restarts")}, lr=[0.125, 0.25])
    found[0] = (replace(found[0][0], outcome="diverged"), Score(float("nan"), 0.1))
    groups = comparison.grouped(found)
    report.print_ranking(console, "digits-mlp", groups, "test_accuracy", [])
    assert "cosine-restarts-lr0.125 " in stream.getvalue()
    assert "1 of 2" in stream.getvalue()
    assert "…" not in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 120


def test_several_questions_have_a_table_each() -> None:
    console, stream = text(120)
    groups, questions = sweep(optimizer=["adam", "sgd"])
    report.print_ranking(console, "digits-mlp", groups, "test_accuracy", questions)
    report.print_answers(console, groups, questions, "test_accuracy")
    printed = stream.getvalue()
    titles = (
        "over 2 seeds",
        "against constant, with adam",
        "against constant, with sgd",
        "Each optimizer against adam",
    )
    places = [printed.index(title) for title in titles]
    assert places == sorted(places)
    assert "step with sgd" in printed
    assert printed.count("-S 'lr=[0.05,0.15,0.45]'") == 1


def test_pictures_are_drawn(tmp_path: Path) -> None:
    groups, questions = sweep()
    runs = load(seeds=1).runs(examples=320)
    curves = {run.group: curve(run.schedule, run.lr, run.epochs, 10) for run in runs}
    pictures.save(pictures.ranking(groups, "test_accuracy", questions), tmp_path / "ranking.png", tmp_path / "r.svg")
    pictures.save(pictures.rates(curves, 40, "all"), tmp_path / "curves.png")
    pictures.save(pictures.differences(questions, "test_accuracy"), tmp_path / "differences.png")
    grid, asked = sweep(lr=[0.1, 0.2])
    assert comparison.is_grid(grid)
    assert not comparison.is_grid(groups)
    pictures.save(pictures.sensitivity(grid, asked), tmp_path / "sensitivity.png")
    for name in ("ranking.png", "curves.png", "differences.png", "sensitivity.png"):
        picture = plt.imread(tmp_path / name)
        assert picture.shape[0] > 100
        assert picture.std() > 0.02  # not blank
    ElementTree.parse(tmp_path / "r.svg")
    assert not list(tmp_path.glob(".*"))


def test_a_scheduler_has_the_colour_of_its_verdict() -> None:
    base = [0.90, 0.91, 0.92, 0.93, 0.94]
    groups, questions = sweep(
        {
            "step": [0.921, 0.929, 0.94, 0.952, 0.958],
            "rex": [0.5, 0.51, 0.52, 0.53, 0.545],
            "wsd": [0.9, 0.92, 0.91, 0.93, 0.94],
            "constant": base,
        }
    )
    of = pictures.colours(groups, questions)
    assert of == {"step": pictures.BLUE, "rex": pictures.ORANGE, "wsd": pictures.GREY, "constant": pictures.INK}


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_curve_is_drawn_with_characters(width: int) -> None:
    console, stream = text(width)
    report.print_curve(console, "cosine", [1.0, 0.75, 0.25, 0.0], 4)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "cosine"
    assert any("⡀" <= character <= "⣿" for character in stream.getvalue())
    assert max(map(len, lines)) <= width
