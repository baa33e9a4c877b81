import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison import questions as comparison
from pipeline.records import Score
from pipeline.report import figures as pictures
from pipeline.report import page
from pipeline.report.page import Source
from pipeline.training.weights import Layer, Weights
from tests.comparison.test_questions import results

SOURCE = Source("digits-mlp", "mlp on <digits>", "0123abc", "task: digits-mlp  # <&>\n", "constant")
VOID = {"meta", "line", "circle", "br", "path", "use", "rect", "image", "stop"}
WEIGHTS = Weights(0.0, 1.0, 2.0, 3.0, 0.0, [1] * 40)
LAYERS = [Layer("layers.1.weight", (4, 4), -1.0, 1.0, WEIGHTS, WEIGHTS)]


class Balanced(HTMLParser):
    """Every tag that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


Writer = Callable[..., tuple[str, str]]


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    """The two reports of made-up figures: HTML and Markdown."""

    def write(accuracies: dict[str, list[float]], lost: bool = False, **changes: Any) -> tuple[str, str]:
        found = results(accuracies, **changes)
        if lost:
            found[0] = (replace(found[0][0], outcome="diverged"), Score(float("nan"), 0.1))
        groups = comparison.grouped(found)
        questions = comparison.questions(groups, "constant", "test_accuracy")
        best = [(record, LAYERS) for record in comparison.best_runs([record for record, _ in found])]
        figures = pictures.write(tmp_path, groups, "test_accuracy", questions, best)
        page.write(tmp_path, groups, questions, "test_accuracy", figures, SOURCE)
        html, markdown = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
        parser = Balanced()
        parser.feed(html)
        assert not parser.open
        return html, markdown

    return write


BETTER = {"step": [0.921, 0.929, 0.94, 0.952, 0.958], "constant": [0.90, 0.91, 0.92, 0.93, 0.94]}


def test_the_verdict_comes_first_and_needs_nothing_from_outside(written: Writer) -> None:
    html, markdown = written(BETTER)
    for text in (html, markdown):
        assert text.index("Use step.") < text.index("constant</td>" if text is html else "| constant |")
        assert "0123abc" in text
    assert not re.search(r"""(src|href)=["']?(https?:|/|[a-z]+\.)""", html.replace("http://www.w3.org", ""))
    assert "mlp on &lt;digits&gt;" in html
    assert "mlp on <digits>" in markdown
    assert "# &lt;&amp;&gt;" in html
    assert html.count("<svg") >= 4  # two cards, the differences, the weights
    assert "prefers-color-scheme: dark" in html


def test_every_row_of_a_markdown_table_has_its_columns(written: Writer) -> None:
    for lost in (False, True):
        html, markdown = written(BETTER, lost=lost)
        rows = [line for line in markdown.splitlines() if line.startswith("|")]
        assert len(rows) == 4
        assert len({row.count("|") for row in rows}) == 1
        assert ("1 of 5 diverged" in markdown) == ("1 of 5 diverged" in html) == lost


def test_with_a_grid_the_report_has_both_rankings_and_the_sensitivity(written: Writer) -> None:
    html, markdown = written(BETTER, lr=[0.1, 0.2])
    for text in (html, markdown):
        assert "against constant at a base LR of 0.1" in text
    assert "forgives a wrong base LR" in html
    assert "sensitivity.png" in markdown
    # Curves are those of each scheduler at its own best rate; and as all have the same, they are compared once.
    assert [html.count(f'class="word">{name}-lr{lr}<') for name in ("step", "constant") for lr in (0.1, 0.2)] == [
        1,
        0,
    ] * 2
    assert "compared twice" not in html


def test_without_a_baseline_there_is_a_report(written: Writer) -> None:
    html, markdown = written({"step": [0.9, 0.8], "wsd": [0.7, 0.8]})
    assert "There is nothing to compare: constant, the baseline, is not in the sweep" in html
    assert "<code>uv run dvc exp run -S &#39;scheduler=[constant,step,wsd]&#39;</code>" in html
    assert "There is nothing to compare: constant, the baseline, is not in the sweep" in markdown
    assert "85.00 ± 7.07" in html


def test_one_seed(written: Writer) -> None:
    html, markdown = written({"step": [0.9], "constant": [0.8]})
    assert "One seed cannot tell" in html
    assert "+10.00" in markdown
    assert "nan" not in markdown
