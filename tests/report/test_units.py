"""Wherever test figures are shown, regressions have R² and RMSE, and language models have a perplexity."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.comparison.answer import Findings
from pipeline.datasets import Language, Target
from pipeline.report import document, result_files, wording
from pipeline.report.units import cells
from tests.report.printing import REPRODUCTION, printed, words
from tests.report.sweeps import fixed, twelve

LOSSES = {"constant": twelve(0.75), "cosine": twelve(0.91, 1)}
"""Accuracies, which `fixed` turns into mean squared errors of about 0.25 and 0.09."""
TARGET = Target("price", 20.0, 500.0)


@pytest.fixture(scope="module")
def findings() -> Findings:
    return replace(fixed(LOSSES, metric="test_loss"), units=TARGET)


def empty_picture(folder: Path) -> dict[str, Path]:
    """Write the one picture that every report shows, as an empty SVG, and return its path."""
    (file := folder / "parameters.svg").write_text("<svg/>")
    return {"parameters": file}


def test_r2_and_rmse_follow_from_the_mean_squared_error(findings: Findings) -> None:
    """If the loss is 0.09, the RMSE is 20 · sqrt(0.09) = 6 and, with a variance of 500, R² is 1 - 36 / 500 = 0.928.

    Over several seeds, the RMSE is the mean of the roots, which is slightly less than the root of the mean.
    """
    assert TARGET.figures([0.09]) == pytest.approx({"r2": 0.928, "rmse": 6})
    assert cells(findings.answer.leader, TARGET) == {"R²": "0.928", "RMSE": "5.999"}


def test_a_diverged_run_has_neither() -> None:
    lost = fixed(LOSSES, lost=1, metric="test_loss").answer.arms[0]
    assert cells(lost, TARGET) == {"R²": "", "RMSE": ""}


def test_a_sentence_explains_the_unit_of_losses(findings: Findings) -> None:
    assert (
        "Losses are mean squared errors of price, in units of its standard deviation in the training split, 20. "
        "cosine has an R² of 0.928 and an RMSE of 5.999, in the target's own units."
    ) in wording.basis(findings)


def test_terminal_json_and_reports_show_r2_and_rmse(
    findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = words(printed(findings, width=200))
    assert "loss SD R² RMSE behind" in shown
    assert "0.928 5.999" in shown
    result_files.write_schedulers(tmp_path / "schedulers.json", findings)
    found = json.loads((tmp_path / "schedulers.json").read_text())["cosine"]
    assert found["test_rmse"] == pytest.approx(6, rel=1e-3)
    assert found["test_r2"] == pytest.approx(1 - 400 * found["test_loss"] / 500)
    monkeypatch.setattr(document, "cards", lambda groups, colours: {group.name: "" for group in groups})
    document.write(tmp_path, findings, empty_picture(tmp_path), REPRODUCTION)
    text = (tmp_path / "report.md").read_text()
    assert "mean ± SD | R² | RMSE | behind the best" in text
    assert "| 0.928 | 5.999 |" in text
    (header,) = [line for line in text.splitlines() if line.startswith("| scheduler |")]
    below = text.splitlines()[text.splitlines().index(header) + 1]
    assert header.count("|") == below.count("|")
    assert '<td class="extra">0.928</td><td class="extra">5.999</td>' in (tmp_path / "report.html").read_text()


def test_perplexity_of_a_language_model(findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses are around 0.25 and 0.09, and a token has two characters on average."""
    language = replace(findings, units=Language(2.0, 2.0))
    assert (
        "Losses are in nats a token; a model must beat a loss of 2 nats a token (a perplexity of 7.389), which is what "
        "guessing by token frequency achieves. cosine has a perplexity of 1.094, and needs 0.065 bits per character."
    ) in wording.basis(language)
    shown = words(printed(language, width=200))
    assert "loss SD perplexity bits per character behind" in shown
    assert "1.094 0.065" in shown
    assert "perplexity" in printed(language, width=100)
    result_files.write_schedulers(tmp_path / "schedulers.json", language)
    found = json.loads((tmp_path / "schedulers.json").read_text())["cosine"]
    assert found["test_perplexity"] == pytest.approx(1.094, abs=1e-3)
    monkeypatch.setattr(document, "cards", lambda groups, colours: {group.name: "" for group in groups})
    document.write(tmp_path, language, empty_picture(tmp_path), REPRODUCTION)
    assert "| perplexity | bits per character | behind" in (tmp_path / "report.md").read_text()
    assert "Exponential of the loss" in (tmp_path / "report.html").read_text()


def test_other_tasks_show_no_units(tmp_path: Path) -> None:
    findings = fixed(LOSSES)
    assert "R²" not in printed(findings, width=200)
    result_files.write_schedulers(tmp_path / "schedulers.json", findings)
    assert "rmse" not in (tmp_path / "schedulers.json").read_text()
