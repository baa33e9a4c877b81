"""Ports of this machine, and MLflow's server on one of them."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from tests.helpers.fork_server import path
from tests.helpers.processes import process_group, wait_for


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
