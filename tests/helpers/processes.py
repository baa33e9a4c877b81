"""Find the processes that a test has started, and wait for them."""

import multiprocessing.resource_tracker
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from pathlib import Path

import psutil

LIMIT = 300.0
"""Seconds after which a test stops waiting; the limit is high, because a busy machine is slow."""
GRACE = 60.0
"""Seconds within which all processes must end by themselves after a test."""


def wait_for(condition: Callable[[], object], seconds: float = LIMIT, every: float = 0.05) -> None:
    """Wait until ``condition`` is true, checking every ``every`` seconds; choose more seconds if a check is slow."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain"
        time.sleep(every)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes whose current folder is inside ``folder`` or whose command line contains ``folder``.

    This process and the two helpers that multiprocessing has started for it are left out.
    """
    tracker = multiprocessing.resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    mine = {os.getpid(), forkserver._forkserver._forkserver_pid, tracker}  # type: ignore[attr-defined]
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid in mine or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if Path(process.cwd()).is_relative_to(folder) or any(str(folder) in word for word in process.cmdline()):
                processes.append(process)
    return processes


def assert_all_end(processes: list[psutil.Process]) -> None:
    """Wait until all processes have ended. A zombie counts as ended, because init may be slow to reap orphans."""

    def runs(process: psutil.Process) -> bool:
        try:
            return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    wait_for(lambda: not any(map(runs, processes)))


def assert_nothing_is_left(folder: Path, seconds: float = GRACE) -> None:
    """Wait until no process runs in ``folder``; after ``seconds``, kill the remaining processes and fail."""
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


@contextmanager
def process_group(command: list[str], folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a new process group, and kill the group when the block ends."""
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
