from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest

from pipeline.comparison.answer import Findings
from pipeline.report import cards, plots, style
from pipeline.report.arm_plots import race, ranking
from pipeline.report.arms import arms
from pipeline.report.panels import rates
from pipeline.report.weight_plot import MOST_LAYERS, parameters
from tests.comparison.examples import BASE
from tests.helpers.assertions import assert_drawn
from tests.report.sweeps import LAYERS, fixed, layers, raced, twelve

TWO = {"step": twelve(0.93), "constant": twelve(0.90, 1)}
ALWAYS = ["ranking", "learning_curves", "parameters"]


CASES = {
    "two": (fixed(TWO), ["leader", "baseline"]),
    "one seed": (fixed({"step": [0.9], "constant": [0.8]}), ["leader", "baseline"]),
    "a grid": (fixed(TWO, lr=[0.1, 0.2]), ["leader", "baseline", "sensitivity"]),
    "a diverged grid": (
        fixed(TWO, lr=[0.1, 1000.0], lost=48, metric="test_loss"),
        ["leader", "baseline", "sensitivity"],
    ),
    "optimizers": (fixed(TWO, optimizer=["sgd", "adam"]), ["leader", "baseline"]),
    "no baseline": (fixed({"step": twelve(0.93), "wsd": twelve(0.9, 1)}), ["leader"]),
    "one arm": (fixed({"step": twelve(0.93)}), []),
    "all diverged": (fixed(TWO, lost=24, metric="test_loss"), ["leader", "baseline"]),
    "losses": (fixed(TWO, lost=3, dead=1, metric="test_loss"), ["leader", "baseline"]),
    "a race": (raced({"step": 0.93, "wsd": 0.93, "constant": 0.91}), ["leader", "baseline", "race"]),
    "a small budget": (raced({"step": 0.913, "constant": 0.91}, budget=8), ["leader", "baseline", "race"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_sweep_has_the_right_plots_and_no_old_ones(tmp_path: Path, case: str) -> None:
    findings, some = CASES[case]
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").touch()
    drawn = plots.write(tmp_path, findings, layers(findings))
    assert list(drawn) == [*ALWAYS, *some]
    for name in ALWAYS:
        assert_drawn(tmp_path / f"{name}.png")
    for name in some:
        assert_drawn(tmp_path / "figures" / f"{name}.png")
    for name in drawn:
        ElementTree.parse(tmp_path / "figures" / f"{name}.svg")
    expected = {f"{name}.svg" for name in drawn} | {f"{name}.png" for name in some}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == expected
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    ("case", "says"),
    [("a race", "until the question was answered"), ("a small budget", "until the budget was spent")],
)
def test_the_plot_of_a_race_says_why_the_race_ended(case: str, says: str) -> None:
    findings, _ = CASES[case]
    assert says in style.svg(race(arms(findings), findings.answer))


def test_the_plot_of_a_deep_network_has_some_of_its_layers() -> None:
    """With few layers, all are shown; otherwise, some matrices and kernels are shown, from the first to the last."""
    findings = fixed({"step": [0.9], "constant": [0.8]})
    of = [replace(LAYERS[0], name=f"{number}", shape=(3, 3) if number % 2 == 0 else (3,)) for number in range(200)]
    for count, shown in ((24, [str(number) for number in range(24)]), (25, [str(each) for each in range(0, 25, 2)])):
        runs = {record.run.name: (record, of[:count]) for record, _ in layers(findings)}
        figure = parameters(runs)
        assert [panel.get_title(loc="left").partition("\n")[0] for panel in figure.axes] == shown
        assert ("13 of 25 layers" in figure.get_suptitle()) == (count == 25)
        plt.close(figure)
    figure = parameters({record.run.name: (record, of) for record, _ in layers(findings)})
    names = [panel.get_title(loc="left").partition("\n")[0] for panel in figure.axes]
    plt.close(figure)
    assert (len(names), names[0], names[-1]) == (MOST_LAYERS, "0", "198")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("names", [["weight"], ["blocks.11.attention.to_queries_keys_values.weight"] * 8])
def test_long_names_of_layers_fit_the_plot_of_weights(names: list[str]) -> None:
    record = fixed({"step": [0.9]}).sweep.groups[0].records[0]
    figure = parameters({"step": (record, [replace(LAYERS[0], name=name) for name in names])})
    figure.canvas.draw()
    try:
        assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1  # type: ignore[attr-defined]
        titles = [panel.get_title(loc="left") for panel in figure.axes]
        assert [title.rpartition("\n")[0].replace("\n", "") for title in titles] == names
        found = [panel._left_title.get_window_extent() for panel in figure.axes]  # type: ignore[attr-defined]
        assert all(one.x1 <= other.x0 for one, other in pairwise([*found, figure.bbox.translated(figure.bbox.x1, 0)]))
    finally:
        plt.close(figure)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e38])
def test_equal_weights_have_an_axis(value: float) -> None:
    record = fixed({"step": [0.9]}).sweep.groups[0].records[0]
    figure = parameters({"step": (record, [replace(LAYERS[0], low=value, high=value)])})
    left, right = figure.axes[0].get_xlim()
    assert left < value < right
    plt.close(figure)


def test_a_rate_of_zero_throughout_can_be_drawn(tmp_path: Path) -> None:
    still = fixed({"step": [0.9], "constant": [0.8]})
    for group in still.sweep.groups:
        group.records[:] = [replace(record, epochs=[replace(record.last, lr=0.0)]) for record in group.records]
    rows = arms(still)
    style.save(ranking(rows, style.colours(rows)), tmp_path / "ranking.png")
    style.save(rates({"step": [0.0, 0.0]}, 2, "still"), tmp_path / "rates.png")
    for name in ("ranking", "rates"):
        assert_drawn(tmp_path / f"{name}.png")
    assert list(cards.cards([arm.group for arm in rows], style.colours(rows))) == ["step", "constant"]


def test_learning_rate_curves_are_small_multiples(tmp_path: Path) -> None:
    curves = {name: [1.0, 0.5, 0.25, 0.0] for name in ("cosine", "step", "rex", "wsd", "linear")}
    style.save(rates(curves, 2, "all"), tmp_path / "rates.png")
    assert_drawn(tmp_path / "rates.png")


def test_plots_are_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        findings = raced({"step": 0.93, "constant": 0.91}, lr=[0.1, 0.2])
        plots.write(tmp_path / folder, findings, layers(findings))
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(files) == 3 + 3 + 2 * 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def colours(findings: Findings) -> dict[str, str]:
    return {scheduler: colour for (scheduler, _), colour in style.colours(arms(findings)).items()}


def test_a_scheduler_has_the_colour_of_its_verdict() -> None:
    found = colours(
        fixed(
            {
                "step": twelve(0.93),
                "rex": twelve(0.85),
                "wsd": twelve(0.9),
                "linear": [0.9 + 0.05 * (-1) ** seed for seed in range(12)],
                "constant": twelve(0.9),
            }
        )
    )
    assert found == {
        "step": style.BLUE,
        "rex": style.ORANGE,
        "wsd": style.PURPLE,
        "linear": style.GREY,
        "constant": style.INK,
    }


def test_without_a_baseline_a_scheduler_has_the_colour_of_its_place() -> None:
    found = colours(fixed({"step": twelve(0.93), "wsd": twelve(0.9, 1)}))
    assert found == {"step": style.GREEN, "wsd": style.GREY}


def test_cards_show_accuracy_if_there_are_classes() -> None:
    rows = arms(fixed({"step": [0.92, 0.93, 0.94, 0.95, 0.96], "constant": BASE}))
    drawn = cards.cards([arm.group for arm in rows], style.colours(rows))
    assert list(drawn) == ["step", "constant"]
    for svg in drawn.values():
        ElementTree.fromstring(svg)
        assert "validation accuracy" in svg
        assert "currentColor" in svg  # cards use the colours of the page
        assert style.INK.lower() not in svg
    assert drawn["step"].count("<path") == drawn["constant"].count("<path")  # no card has curves of another scheduler
