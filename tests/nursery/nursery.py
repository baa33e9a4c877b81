"""The nursery: one process a session of pytest, which all its workers ask for commands."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FOLDER = "TESTS_NURSERY"
"""The environment variable with the folder of a session's nursery."""
UV = """#!/bin/sh
# `uv run` a module, `python -m` a module, or `python` a script of this folder, which is a module, too
if [ "$1" != run ]; then echo "the stand-in for uv runs commands, not: uv $*" >&2; exit 2; fi
shift
if [ "$1" = python ]; then shift; else set -- -m "$@"; fi
case "$1" in *.py) script="${1%.py}"; shift; set -- -m "$script" "$@" ;; esac
exec python "$@"
"""


class Nursery:
    """A process that imports everything once it is first asked for a command, and ends with whoever started it.

    In its folder, ``socket`` is where it is asked, and ``bin`` has a `python` that asks it, and a `uv` and a `uvicorn`
    that run it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nursery-"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address(self.folder))
            listener.listen(100)
            script = f"from tests.nursery.cradle import main; main({listener.fileno()}, {str(self.folder)!r})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", script],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,  # it ends when this is closed
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for pytest, which ends what it has started
            )
        script = f"import sys; sys.path.append({str(ROOT)!r}); from tests.nursery.orders import stand_in; "
        script += f"stand_in({address(self.folder)!r})"
        python = stand_ins(self.folder) / "python"
        python.parent.mkdir()
        python.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-ISc", script])} "$@"\n')
        python.with_name("uv").write_text(UV)
        python.with_name("uvicorn").write_text('#!/bin/sh\nexec python -m uvicorn "$@"\n')
        for program in python.parent.iterdir():
            program.chmod(0o755)

    def close(self) -> None:
        """End it, and whatever it has started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)  # it does so itself, unless it was killed


def nursery() -> Path:
    """Return the folder of the session's nursery."""
    return Path(os.environ[FOLDER])


def path() -> str:
    """Return a PATH whose `python` is a fork of the nursery, as long as it runs modules."""
    return os.pathsep.join([str(stand_ins(nursery())), str(Path(sys.executable).parent), os.environ["PATH"]])


def address(folder: Path) -> str:
    """Return where a nursery is asked for commands."""
    return str(folder / "socket")


def stand_ins(folder: Path) -> Path:
    """Return the folder with a `python` and a `uv` that ask the nursery; it goes first in PATH."""
    return folder / "bin"
