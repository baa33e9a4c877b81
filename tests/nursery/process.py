"""A command that the nursery has forked, and the connection over which it is asked for one."""

import os
import select
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.nursery.orders import Order, connect, exit_code, send
from tests.processes import LIMIT, processes_in


class Process:
    """A command that runs: `python -m pipeline` with some arguments.

    Its output goes to files, so that it never waits for a reader.
    """

    def __init__(self, pid: int, folder: Path, arguments: list[str], out: Any, err: Any, status: int) -> None:
        self.pid, self.folder, self.arguments = pid, folder, arguments
        self.returncode: int | None = None
        self._out, self._err, self._status = out, err, status

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return _content(self._out)

    @property
    def stderr(self) -> str:
        return _content(self._err)

    def wait(self, seconds: float = LIMIT) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        if self.returncode is None:
            ended, _, _ = select.select([self._status], [], [], seconds)
            assert ended, f"{self.arguments} still runs after {seconds} s: {self.stdout[-2000:]}{self.stderr[-2000:]}"
            self.returncode = exit_code(self._status)
        return subprocess.CompletedProcess(self.arguments, self.returncode, self.stdout, self.stderr)

    def wait_for_output(self, text: str, seconds: float = LIMIT) -> None:
        """Wait until it has written ``text``."""
        deadline = time.monotonic() + seconds
        while text not in self.stdout:
            over = self.ended or time.monotonic() > deadline
            assert not over or text in self.stdout, f"no {text!r} in {self.stdout[-2000:]}{self.stderr[-2000:]}"
            time.sleep(0.02)

    @property
    def ended(self) -> bool:
        """True once it has ended."""
        return self.returncode is not None or bool(select.select([self._status], [], [], 0)[0])

    def send_signal(self, number: int) -> None:
        """Send it a signal, and none to its workers."""
        os.kill(self.pid, number)

    def family(self) -> list[psutil.Process]:
        """Return its process, its workers and what starts them; other commands in the folder are taken for them."""
        return processes_in(self.folder)

    def end(self) -> None:
        """Kill its whole session, unless it has ended; its workers end by themselves."""
        if not self.ended:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(ProcessLookupError):  # it had no session yet
                os.kill(self.pid, signal.SIGKILL)
            self.wait()
        for file in (self._out, self._err):
            file.close()
        os.close(self._status)


def _content(file: Any) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


class Start(Protocol):
    """Starts `python -m pipeline ...` in the project, or in ``folder``; the other arguments are those of `Order`."""

    def __call__(
        self,
        *arguments: str,
        folder: Path | None = None,
        mount: str = "",
        memory: int | None = None,
        under_parent: bool = False,
        **environment: str,
    ) -> Process: ...


class Cradle:
    """A connection to the nursery. Commands that mount something see each other's mounts if they share it.

    Args:
        address: of the nursery.
    """

    def __init__(self, address: str) -> None:
        self._connection = connect(address)

    def start(self, order: Order) -> Process:
        """Fork a process that runs a command."""
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        pid, status = send(self._connection, order, out.fileno(), err.fileno())
        return Process(pid, Path(order.folder), order.arguments, out, err, status)

    def close(self) -> None:
        """Have all killed that was started over it."""
        self._connection.close()
