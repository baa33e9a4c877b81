"""Join a Ray cluster, or say in one line why that cannot be; and what room it has."""

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

SETTINGS = {
    "RAY_ENABLE_AUTO_CONNECT": "0",  # or whatever is asked of it after the end would start another cluster here
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray is going to do, and warns of
}
"""Read by Ray as it is imported."""
WORKERS = {"DVC_ROOT": "", "OMP_NUM_THREADS": "1"}
"""The environment of a worker: its project is the folder that it works in."""
SECONDS = 3.0
"""Time that a head has to answer."""
PROBES, MISSED = 5.0, 3
"""Seconds between two looks at a head; it is gone if so many looks in a row find nothing."""
START = "`ray start --address=HOST:PORT` joins one"


def connected(address: str, code: Path) -> tuple[Any, str]:
    """Join a cluster.

    Args:
        address: HOST:PORT of its head, or `auto`: the one that this machine belongs to.
        code: the folder that workers work in a copy of.

    Returns:
        The module `ray`, and the address.

    Raises:
        UserError, ExternalError: there is none, or it cannot be used.
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
        from ray._private import services, worker
    except ImportError:
        raise UserError(
            "--cluster: Ray is not installed; run `uv sync --extra cluster`, or `uv run --extra cluster ...`"
        ) from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    worker.print_to_stdstream = lambda *_, **__: None  # pages on each node that is lost; we say it in a line
    if address == "auto":
        try:
            address = services.get_ray_address_from_environment("auto", None)
        except ConnectionError:
            raise UserError(
                f"--cluster auto: no Ray node runs on this machine; `ray start --head` starts a cluster, {START}"
            ) from None
    if not listens(address):
        raise ExternalError(f"--cluster {address}: nobody listens there; is the head running, and is its port open?")
    with _kept_handlers(), _silent():
        try:
            _check_token(address)
            ray.init(
                address,
                runtime_env={"working_dir": str(code), "env_vars": WORKERS},
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
        except Exception as error:
            ray.shutdown()
            raise _told(address, error) from None
    return ray, address


def _check_token(address: str) -> None:
    """Ask the head for something; where it wants another token, that is an error at once."""
    from ray._private.authentication import authentication_token_setup as tokens
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    tokens.ensure_token_if_auth_enabled(None, create_token_if_missing=False)  # or Ray would end this process in C++
    GcsClient(address=address)


@contextmanager
def _kept_handlers() -> Iterator[None]:
    """Set the signal handlers back to what they were before the block."""
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
    """Hide what C++ prints in the block; what is wrong is said in one line after it."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as hidden:
        kept = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _told(address: str, error: Exception) -> Exception:
    """Return what an error of `ray.init` means, in one line."""
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
    """Return True if somebody listens at HOST:PORT. Ray itself would try for minutes, and print as much."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), SECONDS):
            return True
    except (OSError, OverflowError):
        return False


class Head:
    """The head of a cluster, which is looked at now and then. Without it, Ray would end this process in C++.

    Args:
        address: HOST:PORT.
        now: seconds; it was there at this time.
    """

    def __init__(self, address: str, now: float) -> None:
        self._address, self._looked, self._missed = address, now, 0

    def check(self, now: float) -> None:
        """Look at it, if it is time to.

        Raises:
            ExternalError: it is gone.
        """
        if now < self._looked + PROBES:
            return
        self._looked = now
        self._missed = 0 if listens(self._address) else self._missed + 1
        if self._missed == MISSED:
            raise ExternalError(
                f"the head of the cluster at {self._address} is gone; results so far are kept: start it again, and "
                "repeat the command"
            )


def decided(device: str, nodes: Sequence[Mapping[str, float]], jobs: int | None) -> tuple[str, float]:
    """Return the kind of device that all workers use, and the share of a GPU that each gets.

    A worker has a GPU to itself, unless more workers are asked for than there are GPUs.

    Args:
        device: as `--device` names it.
        nodes: the resources of each.
        jobs: the workers that are asked for; None: as many as there is room for.

    Raises:
        UserError: a cluster has no such device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device}: a cluster deals out its GPUs itself; allowed: auto, cpu, cuda")
    gpus = int(sum(node.get("GPU", 0.0) for node in nodes))
    if device == "cpu" or (device == "auto" and gpus == 0):
        return "cpu", 0.0
    return "cuda", 1 / max(1, math.ceil((jobs or 0) / max(1, gpus)))


def room(nodes: Sequence[Mapping[str, float]], share: float) -> int:
    """Return how many workers there is room for, on idle nodes with such resources.

    Args:
        nodes: the resources of each.
        share: of a GPU that a worker needs.
    """
    return sum(_room(node, share) for node in nodes)


def _room(node: Mapping[str, float], share: float) -> int:
    cores = int(node.get("CPU", 0.0))
    return min(cores, int(node.get("GPU", 0.0) / share + 1e-9)) if share else cores


def no_room(address: str, nodes: Sequence[Mapping[str, float]], share: float) -> str:
    """Return the line on a cluster in which no node has what a worker needs."""
    needs = "a core" + (" and a GPU" if share else "")
    cores, gpus = (int(sum(node.get(key, 0.0) for node in nodes)) for key in ("CPU", "GPU"))
    return (
        f"--cluster {address}: no node has {needs} for a worker; nodes: {len(nodes)}, with {cores} cores and {gpus} "
        "GPUs in all"
    )
