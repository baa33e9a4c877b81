"""Functions that join a Ray cluster, watch its head, and count the workers that fit in the cluster."""

import logging
import math
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import ExternalError, UserError
from pipeline.sweep.engines import ray_private

SETTINGS = {
    "RAY_ENABLE_AUTO_CONNECT": "0",  # otherwise, using Ray after the sweep would start a new cluster
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # otherwise, Ray warns that the default of this variable will change
}
"""Environment variables for Ray, which reads them when it is imported."""
WORKERS = {"DVC_ROOT": "", "OMP_NUM_THREADS": "1"}
"""The environment variables of each worker. DVC_ROOT is empty, so a worker's project folder is its current folder."""
SECONDS = 3.0
"""The number of seconds to wait for an answer from a head."""
PROBES, MISSED = 5.0, 3
"""The number of seconds between two probes of a head, and the number of failed probes in a row that end the sweep."""
START = "`ray start --address=HOST:PORT` joins one"


def connected(address: str, code: Path) -> tuple[Any, str]:
    """Join a cluster; return the module `ray` and the address of the head.

    Args:
        address: HOST:PORT of the head, or `auto` for the cluster that this machine belongs to.
        code: a folder with code; each worker's current folder will be a copy of it.

    Raises:
        UserError, ExternalError: there is no cluster, or this machine cannot use it.
    """
    if address.startswith("ray://"):
        raise UserError(
            f"--cluster {address}: a Ray client cannot tell which nodes were lost; run the command on a machine of the "
            "cluster, with --cluster auto"
        )
    if address != "auto" and not address.rpartition(":")[2].isdecimal():
        raise UserError(f"--cluster {address}: allowed: auto, or HOST:PORT of the head")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UserError(
            "--cluster: Ray is not installed; run `uv sync --extra cluster`, or `uv run --extra cluster ...`"
        ) from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    ray_private.hide_error_pages()
    if address == "auto":
        try:
            address = ray_private.running_head()
        except ConnectionError:
            raise UserError(
                f"--cluster auto: no Ray node runs on this machine; `ray start --head` starts a cluster, {START}"
            ) from None
    if not listens(address):
        raise ExternalError(f"--cluster {address}: nobody listens there; is the head running, and is its port open?")
    with _kept_handlers(), _silent():
        try:
            ray_private.check_token(address)
            ray.init(
                address,
                runtime_env={"working_dir": str(code), "env_vars": WORKERS},
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
        except UserError:
            raise
        except Exception as error:
            ray.shutdown()
            raise _in_a_line(address, error) from None
    return ray, address


@contextmanager
def _kept_handlers() -> Iterator[None]:
    """After the block, restore the signal handlers that Ray may have replaced."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _silent() -> Iterator[None]:
    """Hide the error output of Ray's C++ code during the block."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as hidden:
        stderr = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _in_a_line(address: str, error: Exception) -> Exception:
    """Convert ``error``, which Ray raised, to an error with a one-line message."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "AuthenticationError":
        return UserError(
            f"--cluster {address}: wrong token, or none; set RAY_AUTH_MODE=token, and copy the file ~/.ray/auth_token "
            "of the head, mode 0600"
        )
    if "Version mismatch" in text:
        return UserError(f"--cluster {address}: {text}")
    return ExternalError(f"--cluster {address}: cannot be used from this machine ({text}); {START}")


def listens(address: str) -> bool:
    """Return True if a process is listening at HOST:PORT.

    If no process is listening, Ray itself would try to connect for minutes and print many lines.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), SECONDS):
            return True
    except (OSError, OverflowError):
        return False


class Head:
    """The head of a cluster. The engine probes the head regularly.

    Without these probes, Ray's C++ code would end this process some time after the head is lost.
    """

    def __init__(self, address: str, now: float) -> None:
        self._address, self._probed, self._missed = address, now, 0

    def check(self, now: float) -> None:
        """Probe the head if a probe is due.

        Raises:
            ExternalError: the head is gone.
        """
        if now < self._probed + PROBES:
            return
        self._probed = now
        self._missed = 0 if listens(self._address) else self._missed + 1
        if self._missed == MISSED:
            raise ExternalError(
                f"the head of the cluster at {self._address} is gone; results so far are kept: start the head again, "
                "and repeat the command"
            )


def chosen_device(device: str, nodes: Sequence[Mapping[str, float]], jobs: int | None) -> tuple[str, float]:
    """Return the kind of device for all workers, and each worker's share of a GPU.

    Each worker gets a GPU to itself, or a share of one if the user asks for more workers than there are GPUs.

    Args:
        device: the value of `--device`.
        nodes: the resources of each node.
        jobs: the number of workers that the user asked for; None for as many as fit.

    Raises:
        UserError: `--device` names a particular GPU, or a kind of device that cannot be used in a cluster.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device}: a cluster assigns its GPUs itself; allowed: auto, cpu, cuda")
    gpus = int(sum(node.get("GPU", 0.0) for node in nodes))
    if device == "cpu" or (device == "auto" and gpus == 0):
        return "cpu", 0.0
    return "cuda", 1 / max(1, math.ceil((jobs or 0) / max(1, gpus)))


def room(nodes: Sequence[Mapping[str, float]], share: float) -> int:
    """Return how many workers fit if all nodes are idle; each worker needs a core and ``share`` of a GPU."""
    workers = 0
    for node in nodes:
        cores = int(node.get("CPU", 0.0))
        workers += min(cores, int(node.get("GPU", 0.0) / share + 1e-9)) if share else cores
    return workers


def no_room(address: str, nodes: Sequence[Mapping[str, float]], share: float) -> str:
    """Return the error message for a cluster in which no node has room for a worker."""
    needs = "a core" + (" and a GPU" if share else "")
    cores, gpus = (int(sum(node.get(key, 0.0) for node in nodes)) for key in ("CPU", "GPU"))
    return (
        f"--cluster {address}: no node has {needs} for a worker; nodes: {len(nodes)}, with {cores} cores and {gpus} "
        "GPUs in all"
    )
