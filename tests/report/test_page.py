import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison.groups import best_runs, grouped
from pipeline.comparison.questions import questions
from pipeline.params import Metric
from pipeline.records import Score
from pipeline.report import figures, page
from pipeline.report.source import Code, Source
from pipeline.training.epoch import Epoch
from tests.comparison.examples import results
from tests.report.test_figures import LAYERS

SOURCE = Source(
    task="digits-mlp",
    about="mlp on <digits>",
    baseline="constant",
    command="uv run dvc exp run -S 'scheduler=[constant,step]'",
    settings="tasks:  # <&>\n",
    user_code=[Code("own.py", "def build(): ...\n")],
    environment={"device": "cpu", "torch": "2.9"},
)
VOID = {"meta", "line", "circle", "br", "path", "use", "rect", "image", "stop"}


class Balanced(HTMLParser):
    """Asserts that every tag is closed."""

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
    """Write the reports of made-up figures and return them: HTML and Markdown."""
    return partial(write, tmp_path)


def write(
    folder: Path, accuracies: dict[str, list[float]], lost: int = 0, metric: Metric = "test_accuracy", **changes: Any
) -> tuple[str, str]:
    found = results(accuracies, **changes)
    for number in range(lost):
        epochs = [Epoch(1, 0.1, math.nan, math.nan, 0.1)]
        found[number] = (replace(found[number][0], outcome="diverged", epochs=epochs), Score(math.nan, 0.1))
    groups = grouped(found)
    asked = questions(groups, "constant", metric)
    best = [(record, LAYERS) for record in best_runs([record for record, _ in found])]
    drawn = figures.write(folder, groups, metric, asked, best)
    page.write(folder, groups, asked, metric, drawn, SOURCE)
    html, markdown = ((folder / f"report.{kind}").read_text() for kind in ("html", "md"))
    parser = Balanced()
    parser.feed(html)
    assert not parser.open
    return html, markdown


BETTER = {"step": [0.921, 0.929, 0.94, 0.952, 0.958], "constant": [0.90, 0.91, 0.92, 0.93, 0.94]}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The reports where one is better."""
    return write(tmp_path_factory.mktemp("usual"), BETTER)


def test_the_verdict_comes_first_and_needs_nothing_from_outside(usual: tuple[str, str]) -> None:
    html, markdown = usual
    for text in (html, markdown):
        assert text.index("Use step.") < text.index("constant</td>" if text is html else "| constant |")
    assert not re.search(r"""(src|href)=["']?(https?:|/|[a-z]+\.)""", html.replace("http://www.w3.org", ""))
    assert "mlp on &lt;digits&gt;" in html
    assert "mlp on <digits>" in markdown
    assert html.count("<svg") >= 4  # two cards, the differences, the weights
    assert "prefers-color-scheme: dark" in html


def test_every_row_of_a_markdown_table_has_its_columns(written: Writer, usual: tuple[str, str]) -> None:
    for lost, (html, markdown) in enumerate([usual, written(BETTER, lost=1)]):
        rows = [line for line in markdown.splitlines() if line.startswith("|")]
        assert len(rows) == 4
        assert len({row.count("|") for row in rows}) == 1
        assert ("1 of 5 diverged" in markdown) == ("1 of 5 diverged" in html) == bool(lost)


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
    assert "There is nothing to compare: the baseline, constant, is not in the sweep" in html
    assert "<code>uv run dvc exp run -S &#39;scheduler=[constant,step,wsd]&#39;</code>" in html
    assert "There is nothing to compare: the baseline, constant, is not in the sweep" in markdown
    assert "85.00 ± 7.07" in html


def test_optimizers_have_references_and_no_baseline(written: Writer) -> None:
    _, markdown = written(BETTER, optimizer=["sgd", "adam"])
    schedulers, optimizers = markdown.split("## Each optimizer against sgd")
    assert "| constant | baseline |" in schedulers
    assert "| step with sgd | reference |" in optimizers
    assert "baseline" not in optimizers.split("A scheduler is")[0]


def test_one_seed(written: Writer) -> None:
    html, markdown = written({"step": [0.9], "constant": [0.8]})
    assert "One seed cannot tell" in html
    assert "+10.00" in markdown
    assert "nan" not in markdown


def test_a_loss_has_better_on_the_left(written: Writer) -> None:
    html, markdown = written(BETTER, metric="test_loss")
    assert "← better" in html
    assert "-0.0200" in markdown
    assert "<caption>Test loss: mean" in html


def test_where_every_run_diverged_there_are_no_figures(written: Writer) -> None:
    html, markdown = written(BETTER, lost=10, metric="test_loss")
    written(BETTER, lost=20, metric="test_loss", lr=[0.1, 0.2])
    assert "5 of 5 diverged" in html
    assert "| step | not resolved (5 of 5 diverged) |" in markdown
    assert "nan" not in markdown


def test_it_says_how_to_reproduce_the_report(usual: tuple[str, str]) -> None:
    html, markdown = usual
    assert "<pre>uv run dvc exp run -S &#39;scheduler=[constant,step]&#39;</pre>" in html
    assert SOURCE.command in markdown
    assert "tasks:  # &lt;&amp;&gt;" in html
    assert SOURCE.settings in markdown
    for text in (html, markdown):
        assert SOURCE.user_code[0].digest in text
        assert "def build(): ..." in text
    assert "device cpu, torch 2.9." in markdown
