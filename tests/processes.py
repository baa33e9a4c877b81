"""Processes under test: which there are, and how to wait for what they do."""

import multiprocessing.resource_tracker
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from pathlib import Path

import psutil
import requests

from tests.nursery.nursery import path

LIMIT = 300.0
"""Seconds after which a test gives up waiting; on a busy machine anything may take long, and that is no failure."""
GRACE = 60.0
"""Seconds that processes have to end by themselves after a test."""


def wait_for(condition: Callable[[], object], seconds: float = LIMIT, every: float = 0.05) -> None:
    """Wait until ``condition`` is true; ask ``every`` so many seconds, seldom where to ask is expensive."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(every)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in ``folder``, or are about it: their current folder or command line says so.

    This process is not among them, nor are the two helpers that multiprocessing has started for it.
    """
    tracker = multiprocessing.resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    mine = {os.getpid(), forkserver._forkserver._forkserver_pid, tracker}  # type: ignore[attr-defined]
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid in mine or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if Path(process.cwd()).is_relative_to(folder) or any(str(folder) in word for word in process.cmdline()):
                found.append(process)
    return found


def assert_all_end(processes: list[psutil.Process]) -> None:
    """Wait for the end of all. One that waits to be reaped has ended: orphans are init's, which may take its time."""

    def runs(process: psutil.Process) -> bool:
        try:
            return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    wait_for(lambda: not any(map(runs, processes)))


def assert_nothing_is_left(folder: Path, seconds: float = GRACE) -> None:
    """Wait until no process works in ``folder``; after ``seconds`` kill those that do, and fail."""
    deadline = time.monotonic() + seconds
    while left := processes_in(folder):
        if time.monotonic() > deadline:
            names = []
            for process in left:
                with suppress(psutil.Error):
                    names.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
                    process.kill()
            raise AssertionError(f"the test left processes behind: {names}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_server(address: str) -> None:
    """Wait until an MLflow server answers."""

    def answers() -> bool:
        with suppress(requests.ConnectionError, requests.Timeout):
            return bool(requests.get(f"{address}/health", timeout=30).ok)
        return False

    wait_for(answers)


@contextmanager
def process_group(command: list[str], folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command as a process group of its own, all of which is killed when the block ends."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def mlflow_server(folder: Path, store: Path | str, port: int = 0) -> Iterator[str]:
    """Run an MLflow server over HTTP, which keeps artifacts in ``folder``; yield its address.

    Args:
        folder: where it runs.
        store: the URI of its database; or an empty store, with a copy of which it begins unless it has run there.
        port: to listen on; 0 for one that is free.
    """
    port = port or free_port()
    if isinstance(store, Path):
        if not (folder / "server.db").exists():
            shutil.copy(store, folder / "server.db")
        store = f"sqlite:///{folder}/server.db"
    command = ["python", "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", f"{folder}/kept"]
    with process_group(command, folder, PATH=path(), MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"):
        wait_for_server(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    wait_for(lambda: not listens(port))  # its processes end one after another


def listens(port: int) -> bool:
    """Return True if a connection to a port of this machine is accepted."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
