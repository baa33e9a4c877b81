"""MLflow's server, started on a free port of this machine."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from tests.helpers.fork_server import path
from tests.helpers.processes import process_group, wait_for


def free_port() -> int:
    """Return the number of a free port."""
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
    """Run an MLflow server whose artifacts are in ``folder``, and yield its HTTP address.

    Args:
        folder: the folder in which the server runs.
        store: the URI of the server's database, or the path of an empty store, which is copied before the first start.
        port: the server's port; 0 chooses a free port.
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
    wait_for(lambda: not listens(port))  # because the server's processes end one after another


def listens(port: int) -> bool:
    """Return True if a port of this machine accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
