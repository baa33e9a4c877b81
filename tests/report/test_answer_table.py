import pytest

from pipeline.report import advice, wording
from tests.report.printing import printed, words
from tests.report.sweeps import fixed, raced, twelve

LONG = {"constant": twelve(0.90), "constant-factor": twelve(0.9, 3), "cosine-restarts": twelve(0.93, 1)}


def test_the_answer_comes_first_then_the_caution_and_the_report_last() -> None:
    findings = fixed({"step": twelve(0.93)[:5], "constant": twelve(0.9, 1)[:5]})
    shown = printed(findings)
    parts = [
        wording.headline(findings),
        f"First, though: {advice.cautions(findings)[0]}",
        wording.basis(findings)[0],
        "use it?",
        "good enough:",
        advice.next_step(findings),
        "Pictures and all comparisons: results/report.html",
    ]
    places = [words(shown).index(words(part)) for part in parts]
    assert places == sorted(places)
    assert shown.startswith(parts[0][:60])
    assert shown.rstrip().endswith("results/report.html")


def test_only_the_first_caution_begins_with_first() -> None:
    shown = printed(fixed({"step": twelve(0.93), "constant": twelve(0.9, 1)}, lost=1))
    assert shown.count("First, though:") == 1
    assert shown.index("First, though:") < shown.index("Also:")


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_fits_its_terminal(width: int) -> None:
    shown = printed(fixed(LONG), width)
    assert "…" not in shown
    assert "cosine-restarts" in shown
    assert ("interval" in shown) == (width >= 120)
    assert ("final LR" in shown) == (width >= 200)
    for column in ("use it?", "accuracy, %", "verdict"):
        assert column in shown
    assert max(len(line) for line in shown.splitlines() if "`" not in line) <= width  # but commands are never wrapped


def test_long_names_and_failures_fit() -> None:
    shown = printed(fixed(LONG, lost=2, dead=1, optimizer=["sgd", "adam"]))
    assert "constant-factor with adam" in shown
    assert "diverged" in shown
    assert "dead" in shown
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines() if "`" not in line) <= 100


def test_every_word_of_the_table_is_explained() -> None:
    shown = printed(fixed(LONG), 200)
    for word in ("good enough:", "SD:", "behind:", "verdict:", "difference:", "interval:"):
        assert word in shown
    assert "±" not in shown
    assert "0.5 points" in shown
    assert "10%" in printed(fixed(LONG, metric="test_loss"), 200)


def test_few_seeds_are_provisional() -> None:
    assert "provisional" in printed(fixed({"step": twelve(0.93)[:5], "constant": twelve(0.9, 1)[:5]}))
    assert "rovisional" not in printed(fixed({"step": twelve(0.93), "constant": twelve(0.9, 1)}))


def test_one_seed_has_no_bound() -> None:
    shown = printed(fixed({"step": [0.9], "constant": [0.8]}))
    assert "?: too few seeds to say" in shown
    assert "nan" not in shown


def test_a_single_arm_has_a_table_without_comparisons() -> None:
    shown = printed(fixed({"step": twelve(0.9)}))
    assert "There is nothing to compare" in shown
    assert "use it?" not in shown
    assert "90.00" in shown


def test_without_a_baseline_there_is_no_verdict() -> None:
    shown = printed(fixed({"step": twelve(0.9), "wsd": twelve(0.93, 1)}))
    assert "use it?" in shown
    assert "verdict" not in shown


def test_a_race_says_whether_it_was_answered() -> None:
    answered = printed(raced({"step": 0.93, "constant": 0.91}))
    assert answered.startswith("Use step")
    spent = printed(raced({"step": 0.913, "constant": 0.91}, budget=24))
    assert "Not known yet" in spent
    assert "-S budget=" in spent
