"""The script `.ci/constraints.py` turns uv's export into pinned versions of packages."""

import runpy
import tomllib

from tests.helpers.project import ROOT

SCRIPT = runpy.run_path(str(ROOT / ".ci" / "constraints.py"))
EXPORT = """\
colorama==0.4.6 ; sys_platform == 'win32'
cuda-toolkit==13.2.2 ; sys_platform == 'linux'
numpy==2.4.6 ; python_full_version < '3.12'
numpy==2.5.5 ; python_full_version >= '3.12'
nvidia-nccl-cu13==2.30.7 ; sys_platform == 'linux'
torch==2.15.0
"""
PINS = [
    "colorama==0.4.6",
    "numpy==2.4.6 ; python_full_version < '3.12'",
    "numpy==2.5.5 ; python_full_version >= '3.12'",
    "torch==2.15.0",
]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_pins_leave_out_packages_that_torch_pins_itself() -> None:
    assert SCRIPT["pins"](EXPORT) == PINS


def test_pins_can_be_set_and_removed() -> None:
    pinned = SCRIPT["pin"](PROJECT, EXPORT)
    assert tomllib.loads(pinned)["tool"]["uv"]["constraint-dependencies"] == PINS
    assert SCRIPT["pin"](pinned, EXPORT) == pinned
    lifted = SCRIPT["lift"](pinned)
    assert lifted == SCRIPT["lift"](PROJECT)
    assert "constraint-dependencies" not in tomllib.loads(lifted)["tool"]["uv"]
