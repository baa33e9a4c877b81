"""Real processes that start at once: forks of a process that has imported everything.

Imports take four seconds for `python -m pipeline train` and eight for `evaluate`. The fork server imports everything
once for all workers of a pytest session, and forks a child for each command. The child has its own session, signals,
workers, fork server and exit code.
"""

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

from tests.helpers.project import ROOT

FOLDER = "TESTS_FORK_SERVER"
"""The environment variable that contains the folder of the session's fork server."""
UV = """#!/bin/sh
# Run a module (`uv run MODULE`, `uv run python -m MODULE`), or a script of this folder as a module.
if [ "$1" != run ]; then echo "the stand-in for uv runs commands, not: uv $*" >&2; exit 2; fi
shift
if [ "$1" = python ]; then shift; else set -- -m "$@"; fi
case "$1" in *.py) script="${1%.py}"; shift; set -- -m "$script" "$@" ;; esac
exec python "$@"
"""


class ForkServer:
    """A process that imports everything at its first request, and ends when pytest ends.

    Its folder contains ``socket``, which receives requests, and ``bin`` with a `python` that sends requests, and with
    `uv` and `uvicorn`, which run that `python`.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fork-server-"))
        socket_file = str(self.folder / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(socket_file)
            listener.listen(100)
            script = f"from tests.helpers.forking import main; main({listener.fileno()}, {str(self.folder)!r})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", script],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,  # the fork server ends when this is closed
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C must reach only pytest, which then ends its children
            )
        script = f"import sys; sys.path.append({str(ROOT)!r}); from tests.helpers.fork_requests import stand_in; "
        script += f"stand_in({socket_file!r})"
        programs = {
            "python": f'#!/bin/sh\nexec {shlex.join([sys.executable, "-ISc", script])} "$@"\n',
            "uv": UV,
            "uvicorn": '#!/bin/sh\nexec python -m uvicorn "$@"\n',
        }
        (self.folder / "bin").mkdir()
        for name, text in programs.items():
            (self.folder / "bin" / name).write_text(text)
            (self.folder / "bin" / name).chmod(0o755)

    def close(self) -> None:
        """End the fork server and all its children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)  # in case the fork server was killed


def address() -> str:
    """Return the path of the fork server's socket."""
    return str(Path(os.environ[FOLDER]) / "socket")


def path() -> str:
    """Return a value of PATH with which `python -m MODULE` is a fork of the fork server."""
    return os.pathsep.join(
        [str(Path(os.environ[FOLDER]) / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
