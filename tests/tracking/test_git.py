"""The state of a real repository."""

import subprocess
from pathlib import Path

import pytest

from pipeline.tracking import git


def run(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").touch()
    run(tmp_path, "init", "-q")
    run(tmp_path, "add", ".")
    run(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def test_the_commit_is_the_one_that_is_checked_out(repository: Path) -> None:
    assert git.commit(repository) == run(repository, "rev-parse", "HEAD")


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    assert git.commit(tmp_path) == ""
