"""Real processes that start at once: forks of one that has imported all that a command needs.

`python -m pipeline train` imports for four seconds, MLflow in the command and torch in its fork server. Here a process
does that once, then forks a child for each command: with a session, signals, workers and an exit code of its own.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, NoReturn

import psutil

from tests.processes import LIMIT, processes_in

ROOT = Path(__file__).parent.parent
WARM = (
    *("mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.db.utils", "alembic.command"),
    *("pipeline.comparison.wording", "pipeline.report.figures", "pipeline.report.page", "pipeline.report.terminal"),
    *("pipeline.schedules.lint", "pipeline.sweep.progress", "pipeline.tracking.store", "sklearn.datasets"),
    *("filelock", "joblib", "rich.live", "typer.rich_utils", "torch"),
)
"""Modules that commands import; torch, too, with which MLflow checks the models that it is given."""
IN_NAMESPACE = ["unshare", "--map-root-user", "--mount"]
"""Runs a command in a mount namespace: nobody else sees its mounts, which end with it. It needs no root."""


@dataclass(frozen=True)
class Order:
    """A command to run."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    mount: str = ""
    """A shell script that mounts something; for a nursery in a namespace."""
    memory: int | None = None
    """Bytes of address space that it may take beyond what it and PyTorch have at its start."""
    under_parent: bool = False
    """True for a process between it and the nursery, as DVC is between a command and a shell."""


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
            answer = os.read(self._status, 100)
            self.returncode = int(answer) if answer else -signal.SIGKILL  # no answer: the nursery was killed
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
        """Return its process and its workers; other commands in the same folder are taken for them."""
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


class Nursery:
    """The process that is forked.

    Args:
        prefix: a command that it is run by, such as `IN_NAMESPACE`.
    """

    def __init__(self, *prefix: str) -> None:
        self._control, theirs = socket.socketpair()
        script = f"from tests.nursery import main; main({theirs.fileno()})"  # no main module for workers to import
        with theirs:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-c", script],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for pytest, which ends what it has started
            )

    def start(self, order: Order) -> Process:
        """Fork a process that runs a command."""
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        status, theirs = os.pipe()
        message = json.dumps(asdict(order)).encode() + b"\n"
        socket.send_fds(self._control, [message[:1]], [out.fileno(), err.fileno(), theirs])
        self._control.sendall(message[1:])
        os.close(theirs)
        pid = int(self._control.recv(100) or 0)
        assert pid, "the nursery has ended"
        return Process(pid, Path(order.folder), order.arguments, out, err, status)

    def close(self) -> None:
        """End it, and whatever it has started."""
        self._control.close()
        try:
            self._process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


# What follows runs in the nursery and in its children.


@dataclass
class _Cradle:
    """What the nursery knows of its children."""

    control: socket.socket
    alarm: int
    """Readable where a child has ended."""
    statuses: dict[int, int] = field(default_factory=dict)
    """Where to write the exit code of each child."""

    def reap(self) -> None:
        os.read(self.alarm, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if (status := self.statuses.pop(ended[0], None)) is not None:
                    with suppress(BrokenPipeError):
                        os.write(status, str(os.waitstatus_to_exitcode(ended[1])).encode())
                    os.close(status)

    def receive(self) -> tuple[Order, list[int]] | None:
        """Return an order and the files for its output, errors and exit code; None where pytest has ended."""
        message, files, _, _ = socket.recv_fds(self.control, 1, 3)
        while message and not message.endswith(b"\n"):
            more = self.control.recv(1 << 16)
            message = message + more if more else b""
        return (Order(**json.loads(message)), files) if message else None

    def kill(self) -> None:
        for pid in self.statuses:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def forget(self) -> None:
        """In a child: none of this is its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.control.close()
        for status in (self.alarm, *self.statuses.values()):
            os.close(status)


def main(control: int) -> None:
    """Import everything, start the fork server, and fork a child for each order; in a child, run its command."""
    from pipeline import cli
    from pipeline.sweep.engines.local import context

    outside = dict(os.environ)
    for name in WARM:
        import_module(name)
    context()
    imported = {name: value for name, value in os.environ.items() if name not in outside}
    order = _serve(socket.socket(fileno=control))
    if order is not None:  # a child: it leaves by the usual way out of the interpreter
        _become(order, imported)
        cli.main()


def _serve(control: socket.socket) -> Order | None:
    """Return an order in each child, and None in the nursery, when pytest ends."""
    alarm, raised = os.pipe()
    os.set_blocking(raised, False)
    signal.set_wakeup_fd(raised, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    cradle = _Cradle(control, alarm)
    while True:
        ready, _, _ = select.select([control.fileno(), alarm], [], [])
        if alarm in ready:
            cradle.reap()
        if control.fileno() not in ready:
            continue
        received = cradle.receive()
        if received is None:
            cradle.kill()
            return None
        order, (out, err, status) = received
        pid = os.fork()
        if pid == 0:
            os.setsid()
            cradle.forget()
            os.close(raised)
            for ours, theirs in ((out, 1), (err, 2)):
                os.dup2(ours, theirs)
                os.close(ours)
            os.close(status)
            return order
        cradle.statuses[pid] = status
        os.close(out)
        os.close(err)
        control.sendall(str(pid).encode())


def _become(order: Order, imported: Mapping[str, str]) -> None:
    """Make this child what `python -m pipeline` would be."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had pytest ignore it
    # The fork server is the nursery's child and not this process's, which can neither wait for it nor has to start
    # one: it goes on using the one it knows. Its workers still end with this process: what they watch is a pipe that
    # this process alone holds the other end of.
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
    forkserver.ensure_running = lambda: None
    resource_tracker._resource_tracker._pid = None  # type: ignore[attr-defined]
    os.environ.clear()
    os.environ.update({**imported, **order.environment})
    os.chdir(order.folder)
    if order.mount:
        subprocess.run(["sh", "-ec", order.mount], check=True)
        os.chdir(order.folder)  # this folder itself may be mounted anew
    if order.under_parent and (pid := os.fork()):
        _wait_as_parent(pid)
    if order.memory is not None:
        _limit_memory(order.memory)
    sys.argv = ["pipeline", *order.arguments]
    sys.path[:] = [os.getcwd(), *filter(None, sys.path)]  # as `python -m` has it


def _wait_as_parent(pid: int) -> NoReturn:
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _limit_memory(memory: int) -> None:
    import resource

    import torch  # noqa: F401 - how much space it takes is no concern of a test

    limit = psutil.Process().memory_info().vms + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
