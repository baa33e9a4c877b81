"""Shared assertions: a command was refused, a picture was drawn."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from tests.helpers.commands import Command


def tree(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in folder.rglob("*") if ".cache" not in path.parts}


def assert_refused(
    pipeline: Command, project: Path, *command: str, says: str, code: int = 2, **environment: str
) -> None:
    """Check that a command prints one line on standard error, ends with exit code ``code``, and writes no files."""
    before = tree(project)
    done = pipeline(*command, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert says in done.stderr
    assert tree(project) == before


def assert_drawn(path: Path) -> None:
    picture = plt.imread(path)
    assert picture.shape[0] > 100
    assert np.std(picture) > 0.02  # not blank
