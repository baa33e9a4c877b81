"""What git says of the project."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def commit(root: Path) -> str:
    """The commit that is checked out; empty outside of git."""
    return _ask(root, "rev-parse", "HEAD")


def is_changed(root: Path) -> bool:
    """Whether files that git follows are not as they are in that commit; what DVC writes does not count."""
    return bool(_ask(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results", ":!dvc.lock"))


def _ask(root: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.strip()
