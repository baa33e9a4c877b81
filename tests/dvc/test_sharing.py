"""Experiments shown side by side in a terminal of 120 columns, and results that another clone pulls."""

import json
import shlex
from pathlib import Path

import pytest

from tests.dvc.clones import dvc, executed, git
from tests.helpers.project import FOREIGN, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]
COLUMNS = 120
GUIDE = (ROOT / "docs" / "dvc.md").read_text(encoding="utf-8")


def command(start: str) -> list[str]:
    """Return the arguments of the first command in the guide that starts with `uv run dvc` and then ``start``."""
    line = next(line for line in GUIDE.splitlines() if line.startswith(f"uv run dvc {start}"))
    return shlex.split(line, comments=True)[3:]


def contents(clone: Path) -> dict[str, bytes]:
    """Return the bytes of all files in a clone's models/, results/ and data/, keyed by path."""
    files = [path for folder in ("models", "results", "data") for path in (clone / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(clone)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def shared(small: Path) -> Path:
    """A clone in which the results and DVC's remote are committed."""
    dvc(small, "repro")
    where = small.parent / f"{small.name}-storage"
    dvc(small, *[where.as_posix() if each.startswith("/") else each for each in command("remote add")])
    git(small, "add", "-A")
    git(small, "commit", "-qm", "results")
    return small


def test_checkout_brings_back_what_was_there_before_an_experiment(shared: Path) -> None:
    before = contents(shared)
    dvc(shared, "exp", "run", "--name", "other", "-S", "scheduler=[constant,step]")
    assert contents(shared) != before
    git(shared, "checkout", "-q", "params.yaml", "dvc.lock", "results")
    dvc(shared, "checkout")
    assert contents(shared) == before
    assert git(shared, "status", "--porcelain") == ""


def test_what_is_shown_fits_the_screen(shared: Path) -> None:
    shown = dvc(shared, "metrics", "show")
    assert max(map(len, shown.splitlines())) <= COLUMNS
    assert "cosine.test_loss" not in shown
    assert "cosine.test_loss" in dvc(shared, *command("metrics show results/"))
    assert len(dvc(shared, "metrics", "diff", "HEAD", "other").splitlines()) <= 12
    lines = dvc(shared, *command("exp show"), "--no-pager", columns=COLUMNS).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    header = next(line for line in lines if "Experiment" in line)
    titles = [title for title in header.split() if title != "gain"]  # there is no gain if the baseline leads everywhere
    assert titles == ["Experiment", "verdict", "leader", "scheduler", "lr", "seeds"]
    (row,) = (line for line in lines if "[other]" in line)
    assert "['constant', 'step']" in row


def test_plots_compare_the_mean_curves_of_two_experiments(shared: Path) -> None:
    found = json.loads(dvc(shared, "plots", "diff", "HEAD", "other", "--json"))["data"]
    for title in ("validation loss", "validation accuracy", "training loss", "learning rate"):
        (plot,) = found[title]
        rows = plot["content"]["data"]["values"]
        lines = {(row["rev"], row["scheduler"]) for row in rows}
        assert lines == {("HEAD", "constant"), ("HEAD", "cosine"), ("other", "constant"), ("other", "step")}
        assert len(rows) == 2 * len(lines)  # one row for each of the two epochs
        encoding = plot["content"]["encoding"]
        assert (encoding["color"]["field"], encoding["strokeDash"]["field"]) == ("scheduler", "rev")


def test_another_clone_pulls_what_was_pushed(shared: Path, tmp_path: Path) -> None:
    assert "files pushed" in dvc(shared, "push")
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(shared), str(other))
    assert "Checkout failed" in dvc(other, "checkout", code=255)  # the clone has dvc.lock, but no outputs
    dvc(other, "pull")
    assert contents(other) == contents(shared)
    assert executed(dvc(other, "repro")) == ["plan"]
    assert git(other, "status", "--porcelain") == ""


def test_without_a_remote_push_says_how_to_add_one(shared: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(shared), "alone")
    dvc(tmp_path / "alone", "remote", "remove", "storage")
    assert "dvc remote add -d <remote name> <remote url>" in dvc(tmp_path / "alone", "push", code=1)
