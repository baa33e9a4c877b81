"""Two ways to run a command in a project: in this process, or in a new process that can be killed."""

import io
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import cli
from tests.helpers import fork_server
from tests.helpers.fork_requests import Forked, Request
from tests.helpers.processes import LIMIT, processes_in

Command = Callable[..., subprocess.CompletedProcess[str]]
"""Runs `python -m pipeline ...` in this process; keyword arguments are environment variables."""


def run_here(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the pipeline in this process, where everything is imported already.

    MLflow keeps a database engine for each store that this process has used. A test that deletes or replaces a store,
    or mounts something, must therefore start a new process.
    """
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    modules = {*sys.modules}
    code: Any = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setattr(sys, "argv", ["pipeline", *arguments])
        patch.setattr(sys, "path", [*sys.path])
        for name, value in {"COLUMNS": "200", **environment}.items():
            patch.setenv(name, value)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                cli.main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for name in {*sys.modules} - modules:  # the next project may have modules with the same names
                if str(project) in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


class Process:
    """A process that runs a command. Its output is written to files, so it never has to wait for a reader."""

    def __init__(self, request: Request) -> None:
        self.folder, self.arguments = Path(request.folder), request.arguments
        self.returncode: int | None = None
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._forked = Forked(fork_server.address(), request, self._out.fileno(), self._err.fileno())
        self.pid, self.supervisor = self._forked.pid, self._forked.supervisor

    @property
    def stdout(self) -> str:
        """What the process has printed so far."""
        return _content(self._out)

    @property
    def stderr(self) -> str:
        return _content(self._err)

    def wait(self, seconds: float = LIMIT) -> subprocess.CompletedProcess[str]:
        """Wait for the process to end; return its exit code and output."""
        if self.returncode is None:
            ended, _, _ = select.select([self._forked.connection], [], [], seconds)
            assert ended, f"{self.arguments} still runs after {seconds} s: {self.stdout[-2000:]}{self.stderr[-2000:]}"
            self.returncode = self._forked.exit_code()
        return subprocess.CompletedProcess(self.arguments, self.returncode, self.stdout, self.stderr)

    def wait_for_output(self, text: str, seconds: float = LIMIT) -> None:
        """Wait until the process has printed ``text``."""
        deadline = time.monotonic() + seconds
        while text not in self.stdout:
            over = self.ended or time.monotonic() > deadline
            assert not over or text in self.stdout, f"no {text!r} in {self.stdout[-2000:]}{self.stderr[-2000:]}"
            time.sleep(0.02)

    @property
    def ended(self) -> bool:
        """True once the process has ended."""
        return self.returncode is not None or bool(select.select([self._forked.connection], [], [], 0)[0])

    def send_signal(self, number: int) -> None:
        """Send a signal to the process itself, but not to its workers."""
        os.kill(self.pid, number)

    def family(self) -> list[psutil.Process]:
        """Return all processes in the project's folder: the process itself, its workers and their helpers."""
        return processes_in(self.folder)

    def end(self) -> None:
        """Kill the process's session if the process is still running; workers in other sessions end by themselves."""
        if not self.ended:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(ProcessLookupError):  # the session may not exist yet
                os.kill(self.pid, signal.SIGKILL)
            self.wait()
        for file in (self._out, self._err, self._forked):
            file.close()


def _content(file: Any) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


class Start:
    """Starts processes for a test: `start("train", "--jobs", "2")`.

    Args:
        project: the folder in which the processes run.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._started: list[Process] = []
        self._namespace = 0

    def __call__(
        self,
        *arguments: str,
        folder: Path | None = None,
        mount: str = "",
        memory: int | None = None,
        under_parent: bool = False,
        **environment: str,
    ) -> Process:
        """Start `python -m pipeline ...` in the project or in ``folder``; other arguments are explained in `Request`.

        If several commands of a test mount something, each of them sees what the others have mounted.
        """
        if mount and subprocess.run(["unshare", "--map-root-user", "--mount", "true"]).returncode != 0:
            pytest.skip("no mounts are allowed here")
        whole = {**os.environ, "COLUMNS": "200", **environment}
        place = str(folder or self._project)
        request = Request("pipeline", [*arguments], place, whole, mount, self._namespace, memory, under_parent)
        self._started.append(Process(request))
        if mount:
            self._namespace = self._namespace or self._started[-1].supervisor
        return self._started[-1]

    def end(self) -> None:
        """Kill each process that is still running, together with its session."""
        for process in self._started:
            process.end()
