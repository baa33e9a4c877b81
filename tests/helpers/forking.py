"""The code that runs in the fork server, in its supervisors and in their children.

The fork server forks a supervisor for each connection, and the supervisor forks a child for the request. When the
connection is closed, the supervisor kills its child and ends.
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
from importlib import import_module
from itertools import pairwise
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import Any, NoReturn

import psutil

from tests.helpers.fork_requests import Request

PRELOADED = (
    *("mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.db.utils", "alembic.command"),
    *("pipeline.cli", "pipeline.report.wording", "pipeline.report.plots", "pipeline.report.document"),
    *("pipeline.report.terminal", "pipeline.schedules.lint", "pipeline.sweep.display", "pipeline.tracking.tracker"),
    *("filelock", "joblib", "rich.live", "sklearn.datasets", "sklearn.model_selection", "typer.rich_utils", "torch"),
    *("dvc.cli.parser", "dvc.repo.experiments.executor.local", "dvc.repo.experiments.queue.celery", "dvc.repo.index"),
    *("dulwich.porcelain", "hydra", "networkx", "omegaconf", "pygit2", "wcwidth"),
    *("uvicorn.main", "mlflow.cli", "mlflow.server.fastapi_app", "torchvision.transforms.v2"),
    *("git", "mlflow.tracing.processor.base_mlflow", "sqlalchemy.dialects.sqlite", "tabulate"),
)
"""Modules that our commands, DVC and MLflow's server import."""
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000  # from linux/sched.h; os has them since Python 3.12

_folder = ""
"""The folder of the fork server."""
_imported: Mapping[str, str] = {}
"""Environment variables that the imports have set."""


def main(listener: int, folder: str) -> None:
    """Fork a supervisor for each connection until standard input is closed; in a child, run the requested command.

    At the end, remove the folder, even if pytest was killed.
    """
    global _folder
    _folder = folder
    request = _serve(socket.socket(fileno=listener), sys.stdin.fileno())
    if request is not None:
        _run(request.program)
    with suppress(ChildProcessError):
        while True:
            os.wait()
    shutil.rmtree(folder)
    os._exit(0)  # skips Python's slow tidying up


def _serve(listener: socket.socket, pytest: int) -> Request | None:
    """Serve requests until pytest ends, and then return None; in a child, return the request."""
    is_warm = False
    while True:
        ready, _, _ = select.select([listener.fileno(), pytest], [], [])
        if pytest in ready:
            listener.close()
            return None
        if not is_warm:
            _import_all()
            is_warm = True
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), pytest)
            return _supervise(connection)
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _import_all() -> None:
    from pipeline.runs import fingerprint
    from pipeline.sweep.engines import local

    global _imported
    outside = dict(os.environ)
    gc.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*PRELOADED, *local.PRELOADED):
            import_module(name)
        fingerprint.code_digest(frozenset(fingerprint.ROOTS))  # reads and caches the modules it covers
    _imported = {name: value for name, value in os.environ.items() if name not in outside}
    gc.freeze()  # otherwise, garbage collection in a child would copy these pages
    gc.enable()


def _supervise(connection: socket.socket) -> Request:
    """Fork a child, and return the request in it; this supervisor kills the child if the connection is closed."""
    message, (out, err), _, _ = socket.recv_fds(connection, 1, 2)
    with connection.makefile("rb") as rest:
        request = Request(**json.loads(message + rest.readline()))
    if request.mount:
        _enter_namespace(request.namespace)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        connection.close()
        for ours, theirs in ((out, 1), (err, 2)):
            os.dup2(ours, theirs)
            os.close(ours)
        _become(request)
        return request
    os.close(out)
    os.close(err)
    return _wait(connection, pid)


def _wait(connection: socket.socket, pid: int) -> NoReturn:
    """Send the process ids of child and supervisor, and later the exit code; exit when the connection is closed."""
    connection.sendall(f"{pid} {os.getpid()}\n".encode())
    has_ended = threading.Event()
    watcher = threading.Thread(target=_end_with, args=(connection, pid, has_ended), daemon=True)
    watcher.start()
    _, status = os.waitpid(pid, 0)
    has_ended.set()
    with suppress(BrokenPipeError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    watcher.join()  # keeps the namespace until the connection is closed
    raise AssertionError("the watcher ends this process")


def _end_with(connection: socket.socket, pid: int, has_ended: threading.Event) -> NoReturn:
    """Wait until the connection is closed, kill the child if it is still running, and exit."""
    with suppress(ConnectionError):
        connection.recv(1)
    if not has_ended.is_set():
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os._exit(0)


def _enter_namespace(of: int) -> None:
    """Enter a new mount namespace or, if ``of`` is not 0, the mount namespace of that process.

    This needs no root privileges, and processes outside the namespace do not see what is mounted in it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if of:
        for kind in ("user", "mnt"):
            with open(f"/proc/{of}/ns/{kind}") as namespace:
                if libc.setns(namespace.fileno(), 0) != 0:
                    raise OSError(ctypes.get_errno(), f"the {kind} namespace cannot be entered")
        return
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_MOUNTS) != 0:
        raise OSError(ctypes.get_errno(), "no namespaces are allowed here")
    for file, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path("/proc/self", file).write_text(content)


def _become(request: Request) -> None:
    """Turn this child into the process that `python -m` would start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the process that started pytest may ignore SIGINT
    util.spawnv_passfds = _fork_python
    os.environ.clear()
    os.environ.update({**_imported, **request.environment})
    os.chdir(request.folder)
    if request.mount:
        subprocess.run(["sh", "-ec", request.mount], check=True)
        os.chdir(request.folder)  # something may now be mounted at the folder itself
    if request.under_parent and (pid := os.fork()):
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    if request.memory is not None:
        _limit_memory(request.memory)
    sys.argv = [request.program, *request.arguments]
    python = shutil.which("python", path=os.environ.get("PATH"))
    if python == f"{_folder}/bin/python":
        sys.executable = python  # so child processes are forks, too, such as MLflow's uvicorn
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [os.getcwd(), *filter(None, dict.fromkeys([*added, *sys.path]))]  # as with `python -m`


def _limit_memory(memory: int) -> None:
    import resource

    limit = psutil.Process().memory_info().vms + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _run(program: str) -> NoReturn:
    """Run a module as `python -m` does, and exit as Python does, but without cleaning up modules."""
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


def _fork_python(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Replace `spawnv_passfds`, which multiprocessing uses to start its fork server and resource tracker.

    The new process is a fork of this process, so everything is imported already. Like a new Python, it has the default
    signal handlers, and no open files except the standard ones and those passed on.
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
        exec(args[-1], {})  # runs the code that follows -c
        code = 0
    except SystemExit:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
