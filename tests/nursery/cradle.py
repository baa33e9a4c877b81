"""What runs in the nursery and in its children.

The nursery forks a cradle for each connection, and a cradle a child for each order. When the connection is closed, the
cradle kills its children and ends.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import Any, NoReturn

import psutil

from tests.nursery.nursery import stand_ins
from tests.nursery.orders import Order

WARM = (
    *("mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.db.utils", "alembic.command"),
    *("pipeline.cli", "pipeline.report.wording", "pipeline.report.plots", "pipeline.report.document"),
    *("pipeline.report.terminal", "pipeline.schedules.lint", "pipeline.sweep.display", "pipeline.tracking.tracker"),
    *("filelock", "joblib", "rich.live", "sklearn.datasets", "sklearn.model_selection", "typer.rich_utils", "torch"),
    *("dvc.cli.parser", "dvc.repo.experiments.executor.local", "dvc.repo.experiments.queue.celery", "dvc.repo.index"),
    *("dulwich.porcelain", "hydra", "networkx", "omegaconf", "pygit2", "wcwidth"),
    *("uvicorn.main", "mlflow.cli", "mlflow.server.fastapi_app", "torchvision.transforms.v2"),
    *("git", "mlflow.tracing.processor.base_mlflow", "sqlalchemy.dialects.sqlite", "tabulate"),
)
"""Modules that commands import, torch, too, with which MLflow checks the models that it is given; and that DVC does,
and MLflow's server, which looks at its import whether uvicorn is there.
"""


def main(listener: int, folder: str) -> None:
    """Fork a cradle for each connection, until standard input is closed; in a child, run its command."""
    global _folder
    _folder = folder
    connection = _accept(socket.socket(fileno=listener), folder)
    order = None if connection is None else _serve(connection)
    if order is None:
        os._exit(0)  # there is nothing to tidy up, and much that would be
    _run(order.program)


def _accept(listener: socket.socket, folder: str) -> socket.socket | None:
    """Return a connection in each cradle, and None in the nursery, when pytest and all cradles have ended.

    Its folder is removed then, even if pytest was killed.
    """
    pytest = sys.stdin.fileno()
    ready, _, _ = select.select([listener, pytest], [], [])
    if pytest not in ready:
        _import_all()
    while pytest not in ready:
        ready, _, _ = select.select([listener, pytest], [], [])
        if listener in ready:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                with open(os.devnull) as nothing:
                    os.dup2(nothing.fileno(), pytest)
                return connection
            connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
    listener.close()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    shutil.rmtree(folder)
    return None


_folder = ""
"""The nursery's."""
_imported: Mapping[str, str] = {}
"""What imports have added to the environment."""


def _import_all() -> None:
    from pipeline.runs import fingerprint
    from pipeline.sweep.engines.local import PRELOADED

    global _imported
    outside = dict(os.environ)
    gc.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*WARM, *PRELOADED):
            import_module(name)
        fingerprint.code_digest(frozenset(fingerprint.ROOTS))  # which reads all modules that runs depend on
    _imported = {name: value for name, value in os.environ.items() if name not in outside}
    gc.freeze()  # or a collection in a child would copy all of this
    gc.enable()


@dataclass
class _Cradle:
    """What a cradle knows of its children."""

    control: socket.socket
    alarm: int
    """Readable where a child has ended."""
    statuses: dict[int, int] = field(default_factory=dict)
    """Where to write the exit code of each child."""
    is_apart: bool = False
    """True in a mount namespace of its own."""

    def reap(self) -> None:
        os.read(self.alarm, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if (status := self.statuses.pop(ended[0], None)) is not None:
                    with suppress(BrokenPipeError):
                        os.write(status, str(os.waitstatus_to_exitcode(ended[1])).encode())
                    os.close(status)

    def receive(self) -> tuple[Order, list[int]] | None:
        """Return an order and the files for its output, errors and exit code; None where the connection is closed."""
        message, files, _, _ = socket.recv_fds(self.control, 1, 3)
        while message and not message.endswith(b"\n"):
            more = self.control.recv(1 << 16)
            message = message + more if more else b""
        return (Order(**json.loads(message)), files) if message else None

    def go_apart(self) -> None:
        """Enter a mount namespace: nobody else sees its mounts, which end with it. It needs no root."""
        if not self.is_apart:
            user, group = os.getuid(), os.getgid()
            new_user, new_mounts = 0x10000000, 0x00020000  # of linux/sched.h; from Python 3.12 on os has them
            if ctypes.CDLL(None, use_errno=True).unshare(new_user | new_mounts) != 0:
                raise OSError(ctypes.get_errno(), "no namespaces are allowed here")
            for file, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                with open(f"/proc/self/{file}", "w") as stream:
                    stream.write(content)
            self.is_apart = True

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


def _serve(control: socket.socket) -> Order | None:
    """Return an order in each child, which it has become, and None in the cradle, when the connection is closed."""
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
        if order.mount:
            cradle.go_apart()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            cradle.forget()
            os.close(raised)
            for ours, theirs in ((out, 1), (err, 2)):
                os.dup2(ours, theirs)
                os.close(ours)
            os.close(status)
            _become(order)
            return order
        cradle.statuses[pid] = status
        os.close(out)
        os.close(err)
        control.sendall(str(pid).encode())


def _become(order: Order) -> None:
    """Make this child what `python -m` would be."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had pytest ignore it
    util.spawnv_passfds = _fork_python
    os.environ.clear()
    os.environ.update({**_imported, **order.environment})
    os.chdir(order.folder)
    if order.mount:
        subprocess.run(["sh", "-ec", order.mount], check=True)
        os.chdir(order.folder)  # this folder itself may be mounted anew
    if order.under_parent and (pid := os.fork()):
        _wait_as_parent(pid)
    if order.memory is not None:
        _limit_memory(order.memory)
    sys.argv = [order.program, *order.arguments]
    python = shutil.which("python", path=os.environ.get("PATH"))
    if python == str(stand_ins(Path(_folder)) / "python"):
        sys.executable = python  # what this starts in its turn is forked, too, as uvicorn is by MLflow's server
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [os.getcwd(), *filter(None, dict.fromkeys([*added, *sys.path]))]  # as `python -m` has it


def _run(program: str) -> NoReturn:
    """Run a module as `python -m` does, and end as Python does, except that what was imported is not taken apart."""
    code: object = None
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 0)


def _wait_as_parent(pid: int) -> NoReturn:
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _limit_memory(memory: int) -> None:
    import resource

    limit = psutil.Process().memory_info().vms + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _fork_python(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Do what multiprocessing's own function does for a fork server and a resource tracker: start a Python.

    It is a fork of this process, which has imported what a fork server imports. Like a new one it has the handlers of
    signals that Python begins with, and no files but the standard ones and those that are passed on.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            signal.signal(number, handler)
        for one, next_one in pairwise(sorted({2, *passfds, os.sysconf("SC_OPEN_MAX")})):
            os.closerange(one + 1, next_one)
        for helper in (forkserver._forkserver, resource_tracker._resource_tracker):
            type(helper).__init__(helper)
        exec(args[-1], {})  # what follows -c
        code = 0
    except SystemExit:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
