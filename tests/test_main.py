"""`python -m pipeline`, run by a Python that lacks the packages the project needs."""

import os
import subprocess
import sys

import pytest

from tests.helpers.project import ROOT


@pytest.mark.parametrize(
    ("arguments", "command"),
    [([], "uv run pipeline"), (["schedules", "cosine", "--set", "T_max=1 2"], None)],
)
def test_a_python_without_the_packages_is_one_line(arguments: list[str], command: str | None) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline", *arguments],  # -S leaves out site-packages
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    command = command or "uv run pipeline schedules cosine --set 'T_max=1 2'"
    expected = f"error: typer is not installed for this Python ({sys.executable}); run `{command}`\n"
    assert done.stderr == expected
    assert done.stdout == ""


def test_a_missing_module_of_the_project_is_a_bug_with_a_traceback() -> None:
    script = "import sys; sys.modules['pipeline.cli'] = None\nfrom pipeline.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
