import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from pipeline.comparison.answer import Findings
from pipeline.report import advice, document, plots, wording
from tests.report.printing import REPRODUCTION
from tests.report.sweeps import fixed, layers, raced, twelve

VOID = {"meta", "line", "circle", "br", "path", "use", "rect", "image", "stop", "input"}


class Balanced(HTMLParser):
    """A parser that checks whether every HTML tag is closed."""

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


Writer = Callable[[Findings], tuple[str, str]]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """A function that writes the reports on findings, and returns them as HTML and as Markdown.

    The plots are empty SVGs, because drawing takes the most time; test_plots tests the drawing.
    """

    def save_empty(figure: Figure, *paths: Path) -> None:
        plt.close(figure)
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.write_text("<svg></svg>")

    monkeypatch.setattr(plots, "save", save_empty)

    def write(findings: Findings) -> tuple[str, str]:
        drawn = plots.write(tmp_path, findings, layers(findings))
        document.write(tmp_path, findings, drawn, REPRODUCTION)
        html, markdown = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
        parser = Balanced()
        parser.feed(html)
        assert not parser.open
        for picture in re.findall(r"\]\((.*?)\)", markdown):
            assert (tmp_path / picture).exists()
        for text in (html, markdown):
            assert not re.search(r"\bnan\b", re.sub("<svg.*?</svg>", "", text, flags=re.DOTALL))
        rows = [line for line in markdown.splitlines() if line.startswith("|")]
        columns = [row.count("|") for row in rows]
        assert set(columns) <= {16, 11}
        return html, markdown

    return write


TWO = {"step": twelve(0.93), "constant": twelve(0.90, 1)}


def plain(html: str) -> str:
    """Return the text of an HTML page, without tags and plots."""
    text = re.sub("<svg.*?</svg>|<style>.*?</style>", "", html, flags=re.DOTALL)
    text = re.sub("<[^>]*>", "", text).replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
    return " ".join(text.split())


def test_the_answer_comes_first_and_the_page_loads_nothing(written: Writer) -> None:
    findings = fixed(TWO)
    html, markdown = written(findings)
    parts = [wording.headline(findings), "First, though:", *wording.basis(findings), "good enough"]
    for text in (plain(html), " ".join(markdown.split())):
        places = [text.index(part) for part in parts]
        assert places == sorted(places)
    assert not re.search(r"""(src|href)=["']?(https?:|/|[a-z]+\.)""", html.replace("http://www.w3.org", ""))
    assert "mlp on &lt;digits&gt;" in html
    assert "mlp on <digits>" in markdown
    assert html.count("<svg") == 2 + 2 + 1  # two forest plots, two cards, one plot of the weights
    assert "prefers-color-scheme: dark" in html


def test_the_caution_comes_before_the_next_step(written: Writer) -> None:
    findings = fixed({name: figures[:5] for name, figures in TWO.items()})
    html, markdown = written(findings)
    step = advice.next_step(findings)
    assert plain(html).index("First, though:") < plain(html).index(step.replace("`", ""))
    assert markdown.index("> First, though:") < markdown.index(step)


@pytest.mark.parametrize("seeds", [1, 3, 5, 12])
def test_fewer_than_ten_seeds_are_provisional(written: Writer, seeds: int) -> None:
    html, markdown = written(fixed({name: figures[:seeds] for name, figures in TWO.items()}))
    assert ("provisional</span>" in html) == (seeds < 10)
    assert ("use it? (provisional)" in markdown) == (seeds < 10)
    assert "The race" not in html  # no scheduler dropped out early


def test_a_race_is_drawn(written: Writer) -> None:
    html, markdown = written(raced({"step": 0.93, "wsd": 0.93, "constant": 0.91}))
    assert "The race" in html
    assert "figures/race.png" in markdown


def test_a_spent_budget_shows_the_next_command(written: Writer) -> None:
    html, _ = written(raced({"step": 0.913, "constant": 0.91}, budget=24))
    assert "Not known yet" in html
    assert "<code>uv run dvc exp run -S budget=" in html


def test_with_a_grid_the_report_shows_the_sensitivity(written: Writer) -> None:
    found = raced({"step": 0.93, "constant": 0.91}, lr=[0.1, 0.2])
    html, markdown = written(found)
    assert "How sensitive each schedule is to the base LR" in html
    assert "sensitivity.png" in markdown
    assert [html.count(f'class="word">{name}<') for name in ("step", "constant")] == [1, 1]  # the titles of the cards


def test_without_a_baseline_there_is_a_report(written: Writer) -> None:
    html, _ = written(fixed({"step": twelve(0.93), "wsd": twelve(0.9, 1)}))
    assert "Use step" in plain(html)
    assert "against<br>constant" not in html
    assert "figures/baseline.png" not in html


def test_one_arm_has_nothing_to_compare(written: Writer) -> None:
    html, markdown = written(fixed({"step": twelve(0.93)}))
    for text in (plain(html), markdown):
        assert "There is nothing to compare: the baseline, constant, is not in the sweep" in text
    assert "<code>uv run dvc exp run -S &#39;scheduler=[constant,step]&#39;</code>" in html
    assert "use it?" not in html
    assert "93.00 ± 0.36" in html


def test_optimizers_have_a_reference_instead_of_a_baseline(written: Writer) -> None:
    _, markdown = written(fixed(TWO, optimizer=["sgd", "adam"]))
    schedulers, optimizers = markdown.split("## Each optimizer against sgd")
    assert re.search(r"\| constant with adam \|.*\| baseline \|", schedulers)
    assert "| step with sgd | reference |" in optimizers
    assert "baseline" not in optimizers


def test_a_loss_is_compared_in_per_cent(written: Writer) -> None:
    html, markdown = written(fixed(TWO, metric="test_loss"))
    assert "-30" in markdown
    assert "10%" in plain(html)
    assert "points" not in plain(html)


def test_failures_are_shown_beside_their_scheduler(written: Writer) -> None:
    html, markdown = written(fixed(TWO, lost=1, dead=1))
    assert '<span class="failures">1 of 12 diverged, 1 of 12 dead</span>' in html
    assert "| step (1 of 12 diverged, 1 of 12 dead) |" in markdown


def test_if_every_run_diverged_there_are_no_figures(written: Writer) -> None:
    html, markdown = written(fixed(TWO, lost=12, metric="test_loss"))
    assert "12 of 12 diverged" in html
    assert "| step (12 of 12 diverged) |" in markdown


def test_the_report_says_how_to_reproduce_it(written: Writer) -> None:
    html, markdown = written(fixed(TWO))
    assert "<pre>uv run dvc exp run -S &#39;scheduler=[constant,step]&#39;</pre>" in html
    assert REPRODUCTION.command in markdown
    assert "tasks:  # &lt;&amp;&gt;" in html
    assert REPRODUCTION.settings in markdown
    for text in (html, markdown):
        assert REPRODUCTION.user_code[0].digest in text
        assert "def build(): ..." in text
    assert "device cpu, torch 2.9." in markdown
