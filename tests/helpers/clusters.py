"""A Ray cluster of several nodes on loopback; its nodes are separate processes with separate folders.

`python -m tests.helpers.clusters` reads orders from standard input, one JSON object per line, and answers each order
with a line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.helpers.processes import assert_nothing_is_left

LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # otherwise, Ray replaces 127.0.0.1 with this machine's network address
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Environment variables that every process of the cluster needs."""
MEMORY = 80 * 2**20
"""The size of a node's object store in bytes, which is the smallest that Ray allows."""


class Cluster:
    """A Ray cluster whose head node has no cores for workers."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder = process, folder
        self.address = self._answer()
        self.nodes: list[str] = []
        """The addresses of all running nodes except the head."""
        self._added = 1

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the cluster has ended"
        return str(json.loads(line))

    def _order(self, **order: Any) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that a process needs to use the cluster."""
        return LOOPBACK | {"RAY_TMPDIR": str(self._folder), "RAY_AUTH_TOKEN_PATH": str(self._folder / "token")}

    def add(self) -> str:
        """Add a node with one core, and return its address; `kept` returns the folder of its temporary files."""
        self._added += 1
        address = f"127.0.0.{self._added}"
        self.nodes.append(address)
        self.kept(address).mkdir()
        return self._order(add=address, environment={"TMPDIR": str(self.kept(address))})

    def kept(self, address: str) -> Path:
        """Return the folder for a node's temporary files."""
        return self._folder / address

    def kill(self, address: str) -> None:
        """Kill a node and all its processes."""
        self.nodes.remove(address)
        self._order(kill=address)

    def workers(self) -> list[psutil.Process]:
        """Return the processes of Ray's actors on all nodes."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            is_actor = " ".join(process.info["cmdline"] or ()).startswith(("ray::Worker", "ray::Coordinator"))
            if is_actor and str(self._folder) in str(process.info["environ"]):
                found.append(process)
        return found


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster; at the end, make sure that all its processes have ended."""
    with tempfile.TemporaryDirectory(
        prefix="ray", dir="/tmp", ignore_cleanup_errors=True
    ) as name:  # a short path, because the path of a socket may have at most 107 bytes
        folder = Path(name)
        (folder / "ray").mkdir()
        (folder / "token").write_text("a token of at least some length")
        (folder / "token").chmod(0o600)
        environment = {**os.environ, **LOOPBACK, "RAY_TMPDIR": name, "RAY_AUTH_TOKEN_PATH": f"{name}/token"}
        command = [sys.executable, "-m", "tests.helpers.clusters"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        begun = time.time() - 1
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)  # type: ignore[call-overload]
        try:
            yield Cluster(process, folder)
        finally:
            process.communicate()
            _end_agents(begun)
            assert_nothing_is_left(folder)


def _end_agents(since: float) -> None:
    """Kill the orphaned agents that Ray leaves behind when a node is killed."""
    for process in psutil.process_iter(["cmdline", "create_time", "ppid"]):
        title = " ".join(process.info["cmdline"] or ())
        is_agent = title.startswith(("ray::DashboardAgent", "ray::RuntimeEnvAgent"))
        if is_agent and process.info["ppid"] == 1 and process.info["create_time"] >= since:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def main() -> None:
    """Run the cluster until standard input ends."""
    from ray import cluster_utils

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # because Ray prints to standard output

    def answer(text: str) -> None:
        print(json.dumps(text), file=out, flush=True)

    common: dict[str, Any] = {"object_store_memory": MEMORY, "plasma_directory": tempfile.gettempdir()}
    head = {"num_cpus": 0, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    ours = cluster_utils.Cluster(initialize_head=True, shutdown_at_exit=True, head_node_args=head | common)
    nodes = {}
    answer(ours.address)
    for line in sys.stdin:
        order = json.loads(line)
        if address := order.get("add"):
            settings: dict[str, Any] = {"num_cpus": 1, "env_vars": order["environment"]}
            own = {"node_ip_address": address, "runtime_env_dir_name": f"code-{address}"}  # each node unpacks the code
            nodes[address] = ours.add_node(**settings, **own, **common)
        else:
            address = order["kill"]
            ours.remove_node(nodes.pop(address), allow_graceful=False)
        answer(address)
    for node in [*nodes.values(), ours.head_node]:
        ours.remove_node(node, allow_graceful=False)


if __name__ == "__main__":
    main()
