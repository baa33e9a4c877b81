"""Pin every package to its version in uv.lock, or lift the pins.

    python .ci/constraints.py pin     rewrite constraint-dependencies in pyproject.toml from uv.lock
    python .ci/constraints.py lift    remove the pins, so that uv takes the newest versions that the bounds allow

The pins consist of versions only, without addresses or hashes. `uv sync`, `uv run` and `uv lock` obey them.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
EXPORT = "uv export --frozen --all-groups --all-extras --no-emit-project --no-hashes --no-annotate --no-header"
BLOCK = re.compile(r"^constraint-dependencies = \[\n(?: .*\n)*\]\n", re.MULTILINE)
PINNED_BY_TORCH = ("nvidia-", "cuda-toolkit")
"""Prefixes of packages whose versions torch itself pins; the versions differ between builds of torch."""


def pins(export: str) -> list[str]:
    """Return a `name==version` for each line of uv's export; only packages with several versions keep their markers."""
    lines = [line for line in export.splitlines() if not line.startswith(PINNED_BY_TORCH)]
    versions = Counter(line.split("==")[0] for line in lines)
    return [line if versions[line.split("==")[0]] > 1 else line.split(" ;")[0] for line in lines]


def lift(project: str) -> str:
    """Return pyproject.toml without pins."""
    return BLOCK.sub("", project)


def pin(project: str, export: str) -> str:
    """Return pyproject.toml with the pins at the start of [tool.uv]."""
    lines = "".join(f'    "{line}",\n' for line in pins(export))
    return lift(project).replace("[tool.uv]\n", f"[tool.uv]\nconstraint-dependencies = [\n{lines}]\n", 1)


def main(arguments: list[str]) -> None:
    """Rewrite pyproject.toml."""
    project = PROJECT.read_text(encoding="utf-8")
    if arguments == ["pin"]:
        run = subprocess.run(EXPORT.split(), cwd=PROJECT.parent, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            sys.exit(f"uv.lock could not be read; `uv lock` makes one\n{run.stderr}")
        PROJECT.write_text(pin(project, run.stdout), encoding="utf-8")
    elif arguments == ["lift"]:
        PROJECT.write_text(lift(project), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
