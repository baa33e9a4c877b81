"""Real DVC repositories for tests: clones of this project with smaller sweeps."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.helpers.fork_server import path
from tests.helpers.processes import LIMIT, assert_nothing_is_left
from tests.helpers.project import FIXED, ROOT, edit, share_ranges


def environment(cold: bool = True, columns: int = 4000) -> dict[str, str]:
    """Return the environment variables of a shell in which the project's Python comes first in PATH.

    Args:
        cold: if False, `python` is a fork of the fork server, so DVC and its stages start at once. A fork runs the code
            of this checkout, which is the same as the clone's.
        columns: the width of the terminal.
    """
    foreign = ("DVC_", "GIT_", "MLFLOW_", "PYTHONPATH")
    found = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    own = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
    return found | {"PATH": own if cold else path(), "COLUMNS": str(columns)}


def run(clone: Path, *command: str, code: int = 0, columns: int = 4000) -> str:
    done = subprocess.run(
        command,
        cwd=clone,
        capture_output=True,
        text=True,
        env=environment(cold=False, columns=columns),
        timeout=2 * LIMIT,
        start_new_session=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(clone: Path, *command: str) -> str:
    return run(clone, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", *command)


def dvc(clone: Path, *command: str, code: int = 0, columns: int = 4000) -> str:
    return run(clone, "python", "-m", "dvc", *command, code=code, columns=columns)


def executed(output: str) -> list[str]:
    """Return the names of the stages that DVC ran, in the order in which they ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


@contextmanager
def fresh_clone(
    folder: Path, empty_store: Path, schedulers: Sequence[str], *tasks: str, **changes: Any
) -> Iterator[Path]:
    """Copy the project's tracked and new files and commit them; at the end, fail if processes still run in the copy.

    Args:
        folder: an empty folder for the clone.
        empty_store: an MLflow store without runs.
        schedulers: the schedulers to keep in params.yaml. An experiment spends most of its time on reading params.yaml,
            because DVC reads it forty times.
        tasks: the tasks to keep besides digits-mlp.
        changes: other changes to params.yaml.
    """
    files = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(_trimmed(text, (*schedulers,), ("digits-mlp", *tasks)))
    edit(folder, **FIXED | changes)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a clone")
    shutil.copy(empty_store, folder)
    share_ranges(folder, empty_store)
    try:
        yield folder
    finally:
        assert_nothing_is_left(folder)


@cache
def _trimmed(text: str, schedulers: tuple[str, ...], tasks: tuple[str, ...]) -> str:
    content = YAML().load(text)
    for section, names in (("schedulers", schedulers), ("tasks", tasks)):
        content[section] = {name: content[section][name] for name in names}
    YAML().dump(content, stream := io.StringIO())
    return stream.getvalue()


def store(clone: Path) -> str:
    """Return the URI of a clone's MLflow store."""
    return f"sqlite:///{clone}/mlflow.db"
