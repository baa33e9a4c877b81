"""The state of a real repository."""

import subprocess
from pathlib import Path

import pytest

from pipeline import git


def run(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.lock", "results/metrics.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    run(tmp_path, "init", "-q")
    run(tmp_path, "add", ".")
    run(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def test_the_commit_is_the_one_that_is_checked_out(repository: Path) -> None:
    assert git.commit(repository) == run(repository, "rev-parse", "HEAD")


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    assert git.commit(tmp_path) == ""
    assert not git.is_changed(tmp_path)


@pytest.mark.parametrize(
    ("path", "changed"),
    [("params.yaml", True), ("dvc.lock", False), ("results/metrics.json", False), ("untracked.txt", False)],
)
def test_only_tracked_files_that_people_write_count_as_changed(repository: Path, path: str, changed: bool) -> None:
    assert not git.is_changed(repository)
    (repository / path).write_text("new")
    assert git.is_changed(repository) == changed
