from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pipeline.comparison.groups import Group, best_runs
from pipeline.comparison.questions import Question, questions
from pipeline.records import Record
from pipeline.report import cards, figures, style
from pipeline.training.weights import Layer, Weights
from tests.comparison.examples import BASE, groups_of

FIGURES = {"step": [0.7, 0.9], "constant": [0.65, 0.8]}
WEIGHTS = Weights(0.0, 1.0, 2.0, 3.0, 0.0, [1] * 40)
LAYERS = [Layer("layers.1.weight", (4, 4), -1.0, 1.0, WEIGHTS, WEIGHTS)]


def sweep(accuracies: dict[str, list[float]] = FIGURES, **changes: Any) -> tuple[list[Group], list[Question]]:
    groups = groups_of(accuracies, **changes)
    return groups, questions(groups, "constant", "test_accuracy")


def layers(groups: list[Group]) -> list[tuple[Record, list[Layer]]]:
    return [(record, LAYERS) for record in best_runs([record for group in groups for record in group.records])]


def assert_drawn(path: Path) -> None:
    picture = plt.imread(path)
    assert picture.shape[0] > 100
    assert np.std(picture) > 0.02  # not blank


@pytest.mark.parametrize(
    ("changes", "some"), [({}, ["differences"]), ({"lr": [0.1, 0.2]}, ["differences", "sensitivity"])]
)
def test_a_sweep_has_its_pictures_and_no_others(tmp_path: Path, changes: dict[str, Any], some: list[str]) -> None:
    groups, asked = sweep(**changes)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").touch()
    drawn = figures.write(tmp_path, groups, "test_accuracy", asked, layers(groups))
    always = ["ranking", "learning_curves", "parameters"]
    assert list(drawn) == [*always, *some]
    for name in always:
        assert_drawn(tmp_path / f"{name}.png")
    for name in some:
        assert_drawn(tmp_path / "figures" / f"{name}.png")
    for name in drawn:
        ElementTree.parse(tmp_path / "figures" / f"{name}.svg")
    expected = {f"{name}.svg" for name in drawn} | {f"{name}.png" for name in some}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == expected
    assert not list(tmp_path.rglob(".*"))


def test_learning_rate_curves_are_small_multiples(tmp_path: Path) -> None:
    curves = {name: [1.0, 0.5, 0.25, 0.0] for name in ("cosine", "step", "rex", "wsd", "linear")}
    style.save(figures.rates(curves, 2, "all"), tmp_path / "rates.png")
    assert_drawn(tmp_path / "rates.png")


def test_pictures_are_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        groups, asked = sweep()
        figures.write(tmp_path / folder, groups, "test_accuracy", asked, layers(groups))
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(files) == 3 + 5
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_scheduler_has_the_colour_of_its_verdict() -> None:
    groups, asked = sweep(
        {
            "step": [0.921, 0.929, 0.94, 0.952, 0.958],
            "rex": [0.5, 0.51, 0.52, 0.53, 0.545],
            "wsd": [0.9, 0.92, 0.91, 0.93, 0.94],
            "constant": BASE,
        }
    )
    colours = style.colours(groups, asked)
    assert colours == {"step": style.BLUE, "rex": style.ORANGE, "wsd": style.GREY, "constant": style.INK}
    assert set(style.colours(groups, []).values()) == {style.GREEN}


def test_cards_show_accuracy_where_there_are_classes() -> None:
    groups, asked = sweep()
    drawn = cards.cards(groups, style.colours(groups, asked))
    assert list(drawn) == ["step", "constant"]
    for svg in drawn.values():
        ElementTree.fromstring(svg)
        assert "validation accuracy" in svg
        assert "currentColor" in svg  # colours are those of the page
        assert style.INK.lower() not in svg
