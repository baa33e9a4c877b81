"""The project's state in git."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def commit(root: Path) -> str:
    """Return the hash of the commit that is checked out in ``root``; empty outside of git."""
    return _output(root, "rev-parse", "HEAD")


def _output(root: Path, *arguments: str) -> str:
    """Return what git prints; empty if it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
