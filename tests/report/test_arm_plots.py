from matplotlib import pyplot as plt

from pipeline.comparison.answer import Findings
from pipeline.report.arm_plots import race
from pipeline.report.arms import arms
from tests.report.sweeps import raced


def ends(findings: Findings) -> tuple[str, dict[str, str]]:
    """Return the title of the plot, and a dict that maps names of arms to the texts at the ends of their bars."""
    figure = race(arms(findings), findings.answer)
    (panel,) = figure.axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    found = panel.get_title(loc="left"), dict(zip(names, [text.get_text() for text in panel.texts], strict=True))
    plt.close(figure)
    return found


def test_a_bar_ends_with_its_seeds_and_place() -> None:
    findings = raced({"step": 0.93, "wsd": 0.931, "rex": 0.85, "constant": 0.91})
    title, found = ends(findings)
    assert title.endswith("until the question was answered")
    assert f"{findings.answer.runs} runs in {len(findings.answer.rounds)} round" in title
    assert next(iter(found)) == findings.answer.leader.run.scheduler
    assert found["rex"] == "10: not needed"
    assert found["constant"].endswith(": not needed (baseline)")
    held = dict(zip([arm.run.scheduler for arm in findings.answer.arms], findings.answer.standing.seeds, strict=True))
    assert {name: int(end.split(":")[0]) for name, end in found.items()} == held


def test_a_spent_budget_shows_the_bounds() -> None:
    title, found = ends(raced({"step": 0.931, "wsd": 0.93, "constant": 0.93}, deviation=0.02, budget=40))
    assert title.endswith("until the budget was spent")
    assert any("at most" in end for end in found.values())


def test_a_race_of_two_schedulers() -> None:
    title, found = ends(raced({"step": 0.93, "constant": 0.91}))
    assert "until the question was answered" in title
    assert len(found) == 2
