import math

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from pipeline.comparison.questions import Scale
from pipeline.report import forest, style
from pipeline.report.arms import arms, own
from pipeline.runs.metric import Metric
from tests.comparison.examples import BLEU, ERROR_RATE, findings, with_other_figures
from tests.report.sweeps import fixed, raced, twelve

TWO = {"step": twelve(0.93), "constant": twelve(0.90, 1)}


def labels(panel: Axes) -> list[str]:
    return [label.get_text() for label in panel.get_yticklabels()]


def test_the_plot_against_the_leader_has_all_other_arms_best_first() -> None:
    findings = raced({"step": 0.93, "wsd": 0.92, "cosine": 0.931, "constant": 0.91})
    rows = arms(findings)
    figure = forest.against_leader(rows, findings.answer.scale)
    (panel,) = figure.axes
    assert labels(panel) == [arm.name for arm in rows[1:]]
    left, right = panel.get_xlim()
    assert left < -0.005 < 0.005 < right  # the axis includes the margin on both sides
    plt.close(figure)


def test_each_optimizer_has_a_panel() -> None:
    findings = fixed(TWO, optimizer=["sgd", "adam"])
    figure = forest.against_baseline(own(findings), findings.answer.scale)
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "Each scheduler against constant, with sgd at a base LR of 0.15",
        "Each scheduler against constant, with adam at a base LR of 0.15",
    ]
    assert [labels(panel) for panel in figure.axes] == [["step"], ["step"]]
    plt.close(figure)


def test_an_outlier_does_not_squeeze_the_others() -> None:
    figures = {"step": twelve(0.93), "wsd": twelve(0.931, 1), "rex": twelve(0.1, 2), "constant": twelve(0.9, 3)}
    findings = fixed(figures)
    figure = forest.against_leader(arms(findings), findings.answer.scale)
    (panel,) = figure.axes
    assert panel.get_xlim()[0] > -0.4
    assert "-83.10" in [text.get_text() for text in panel.texts]
    plt.close(figure)


def test_losses_have_round_percentages() -> None:
    findings = fixed(TWO, metric="test_loss")
    figure = forest.against_baseline(own(findings), findings.answer.scale)
    (panel,) = figure.axes
    ticks = [label.get_text() for label in panel.get_xticklabels()]
    assert "0" in ticks
    assert "-20%" in ticks or "-30%" in ticks
    ends = [math.log(loss) for loss in (0.07, 0.1)]
    assert panel.get_xlim()[1] > ends[1] - ends[0]  # better schedulers are on the right
    plt.close(figure)


@pytest.mark.parametrize(("metric", "tick"), [(ERROR_RATE, "-2"), (BLEU, "+2%")])
def test_other_figures_have_the_right_sign(metric: Metric, tick: str) -> None:
    found = findings(with_other_figures(TWO), Scale(metric, 0.005))
    figure = forest.against_baseline(own(found), found.answer.scale)
    figure.canvas.draw()
    (panel,) = figure.axes
    ticks = {label.get_text(): label.get_position()[0] for label in panel.get_xticklabels()}
    assert ticks[tick] > 0
    assert metric.title in panel.get_xlabel()
    plt.close(figure)


def test_equal_figures_have_an_axis_even_with_a_tiny_margin() -> None:
    findings = fixed({"step": [0.9], "constant": [0.9]}, margin=1e-6)
    figure = forest.against_baseline(own(findings), findings.answer.scale)
    left, right = figure.axes[0].get_xlim()
    assert left < 0 < right
    plt.close(figure)


def test_one_seed_has_dots_and_no_bars() -> None:
    findings = fixed({"step": [0.9], "constant": [0.8]})
    figure = forest.against_baseline(own(findings), findings.answer.scale)
    (panel,) = figure.axes
    assert [np.size(line.get_xdata()) for line in panel.lines if line.get_color() == style.GREY] == [1]
    plt.close(figure)
