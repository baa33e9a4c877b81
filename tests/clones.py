"""Real DVC repositories to run the three commands in: clones of this project with a smaller budget."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import FIXED, ROOT, edit
from tests.processes import LIMIT, assert_nothing_is_left


def environment() -> dict[str, str]:
    """Return the environment of a shell in which the project's own is activated."""
    foreign = ("DVC_", "GIT_", "MLFLOW_", "PYTHONPATH")
    found = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
    return found | {"COLUMNS": "4000"}


def run(clone: Path, *command: str, code: int = 0) -> str:
    done = subprocess.run(
        command, cwd=clone, capture_output=True, text=True, env=environment(), timeout=2 * LIMIT, start_new_session=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(clone: Path, *command: str) -> str:
    return run(clone, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", *command)


def dvc(clone: Path, *command: str, code: int = 0) -> str:
    return run(clone, sys.executable, "-m", "dvc", *command, code=code)


def executed(output: str) -> list[str]:
    """Return the stages that DVC ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


@contextmanager
def fresh_clone(folder: Path, **changes: Any) -> Iterator[Path]:
    """Commit anew what git tracks here, or would, with some parameters changed; end all that still runs there."""
    files = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    edit(folder, **FIXED | changes)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a clone")
    try:
        yield folder
    finally:
        assert_nothing_is_left(folder)
