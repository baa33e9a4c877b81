"""A Ray cluster of several nodes on loopback, each with folders of its own, in processes apart from the tests'.

python -m tests.helpers.clusters    reads orders from stdin, a JSON object a line, and answers each with one
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
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or Ray turns 127.0.0.1 into this machine's address on its network
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""The environment of all that is to do with it."""
MEMORY = 80 * 2**20
"""Bytes of the object store of a node; Ray does not go below that."""


class Cluster:
    """The cluster, whose head has no core for workers."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder = process, folder
        self.address = self._answer()
        self.nodes: list[str] = []
        """Addresses of those that run, but for the head's."""
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
        """Return what a process needs to use it."""
        return LOOPBACK | {"RAY_TMPDIR": str(self._folder), "RAY_AUTH_TOKEN_PATH": str(self._folder / "token")}

    def add(self) -> str:
        """Add a node with a core, and return its address; whatever it keeps is in `kept`."""
        self._added += 1
        address = f"127.0.0.{self._added}"
        self.nodes.append(address)
        self.kept(address).mkdir()
        return self._order(add=address, environment={"TMPDIR": str(self.kept(address))})

    def kept(self, address: str) -> Path:
        """Return the folder of a node for temporary files."""
        return self._folder / address

    def kill(self, address: str) -> None:
        """Kill a node with all its processes."""
        self.nodes.remove(address)
        self._order(kill=address)

    def busy(self) -> list[str]:
        """Return the addresses of the nodes that work on something."""
        return [node for node in self.nodes if self.workers(node, "ray::Worker.call")]

    def workers(self, address: str = "", *titles: str) -> list[psutil.Process]:
        """Return the processes of actors, on all nodes or on one; of all kinds, or with some titles alone."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            line = " ".join(process.info["cmdline"] or ())
            of = str(self.kept(address) if address else self._folder)
            if line.startswith(titles or ("ray::Worker", "ray::Coordinator")) and of in str(process.info["environ"]):
                found.append(process)
        return found


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster; all of it has ended afterwards."""
    with tempfile.TemporaryDirectory(
        prefix="ray", dir="/tmp", ignore_cleanup_errors=True
    ) as name:  # sockets: 107 bytes
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
    """End what Ray itself leaves of a node that was killed: its agents, which have nothing of ours, and no parent."""
    for process in psutil.process_iter(["cmdline", "create_time", "ppid"]):
        title = " ".join(process.info["cmdline"] or ())
        is_agent = title.startswith(("ray::DashboardAgent", "ray::RuntimeEnvAgent"))
        if is_agent and process.info["ppid"] == 1 and process.info["create_time"] >= since:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def main() -> None:
    """Run the cluster until stdin ends."""
    from ray import cluster_utils

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints, too

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
            own = {"node_ip_address": address, "runtime_env_dir_name": f"code-{address}"}  # each unpacks the code
            nodes[address] = ours.add_node(**settings, **own, **common)
        else:
            address = order["kill"]
            ours.remove_node(nodes.pop(address), allow_graceful=False)
        answer(address)
    for node in [*nodes.values(), ours.head_node]:
        ours.remove_node(node, allow_graceful=False)


if __name__ == "__main__":
    main()
