"""A sweep on a Ray cluster whose nodes are killed and join leaves the same files as on one machine."""

import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ExternalError, UserError
from pipeline.runs import params
from pipeline.sweep.engines import joining
from pipeline.sweep.engines.joining import Head, chosen_device, no_room, room
from pipeline.sweep.engines.shipping import Shipment, difference
from tests.helpers.clusters import Cluster, cluster
from tests.helpers.commands import Command, Process, Start
from tests.helpers.processes import wait_for
from tests.helpers.project import checkpoints, contents, edit, load, set_model, statuses
from tests.helpers.servers import free_port

SLOW = """
import os, time, torch
class Slow(torch.nn.Linear):
    def forward(self, x):
        if x.min().item() < 1 and self.training and os.path.exists({hold!r}):
            time.sleep(0.1)
        return super().forward(x.flatten(1))
def build(shape, classes):
    return Slow(64, classes)
"""
"""A model that trains slowly as long as the file `hold` exists, with the same results.

Its forward pass depends on values, so its runs are trained one by one.
"""


@pytest.fixture(scope="module")
def ours() -> Iterator[Cluster]:
    """A cluster of a head and one node, which has one core."""
    with cluster() as found:
        found.add()
        yield found


@pytest.fixture
def begin(start: Start, ours: Cluster) -> Callable[..., Process]:
    """A function that starts a command on the cluster."""

    def run(*arguments: str, **changes: str) -> Process:
        environment: dict[str, Any] = ours.environment() | changes
        return start(*arguments, "--cluster", ours.address, **environment)

    return run


def slow(project: Path) -> Path:
    """Set the slow model; return the file that keeps its training slow."""
    hold = project / "hold"
    hold.touch()
    (project / "mine.py").write_text(SLOW.format(hold=str(hold)))
    set_model(project, name="mine:build")
    return hold


def error(process: Process) -> str:
    """Return the error line of a command, which must end with exit code 2."""
    done = process.wait()
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line.removeprefix("error: ")


@pytest.mark.slow
def test_a_sweep_whose_nodes_come_and_go_and_that_is_interrupted_leaves_what_one_machine_leaves(
    begin: Callable[..., Process], pipeline: Command, project: Path, ours: Cluster
) -> None:
    """A node that joins gets runs, the runs of a killed node resume on another, and Ctrl-C ends all workers.

    The nodes also get the user's own model.
    """
    edit(project, scheduler="[cosine,onecycle,plateau,step]", baseline="step", seeds=1)
    edit(project, **{"tasks__digits-mlp__epochs": 40})
    hold = slow(project)
    process = begin("train", "--checkpoint-every", "0.1")
    wait_for(lambda: checkpoints(project) or process.ended)
    lost, joined = ours.nodes[0], ours.add()
    wait_for(lambda: len(checkpoints(project)) == 2 or process.ended)  # both nodes are training a run
    assert [*ours.kept(joined).glob("lr-schedules-*/*")]
    ours.kill(lost)
    process.wait_for_output(f"({lost}) was lost; its work resumes elsewhere from its checkpoint")
    process.send_signal(signal.SIGINT)
    assert process.wait().returncode == 130
    wait_for(lambda: not ours.workers(), seconds=5)
    assert checkpoints(project)

    hold.unlink()
    done = begin("train").wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"cluster at {ours.address}: room for " in done.stdout
    assert "trained 4 runs, " in done.stdout
    assert " of them from a checkpoint," in done.stdout
    assert done.stderr == ""
    assert not checkpoints(project)
    names = ("cosine-s0", "onecycle-s0", "plateau-s0", "step-s0")
    assert statuses(project) == {name: ["FINISHED"] for name in names}
    there = contents(project / "models")
    assert "trained 0 runs and took 4 from the cache" in pipeline("train", "--jobs", "1").stdout
    for folder in (".cache", "models"):
        shutil.rmtree(project / folder)
    assert pipeline("train", "--jobs", "1").returncode == 0
    assert contents(project / "models") == there


@pytest.mark.slow
def test_a_node_with_other_data_is_named(begin: Callable[..., Process], project: Path, ours: Cluster) -> None:
    name = Shipment.of(params.load().runs(1077), Path("data")).pack(project / "code")["data/train.safetensors"]
    node = ours.nodes[0]
    kept = ours.kept(node) / f"lr-schedules-{os.getuid()}" / name
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    kept.write_bytes(b"altered")
    line = error(begin("train"))
    assert line.endswith(
        f"({node}) has another data/train.safetensors than this machine: {kept} was altered; remove it there"
    )
    kept.unlink()


@pytest.mark.slow
def test_a_node_with_something_else_installed_is_named(
    begin: Callable[..., Process], project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    installed = tmp_path_factory.mktemp("installed")
    (installed / "installed_here.py").write_text("def build(shape, classes): ...\n")
    set_model(project, name="installed_here:build")
    line = error(begin("train", PYTHONPATH=str(installed)))
    assert re.match(r"\S+ \(127\.0\.0\.\d\) has another installed_here than this machine", line)


@pytest.mark.slow
def test_what_a_cluster_does_not_have_is_one_line(begin: Callable[..., Process], project: Path, ours: Cluster) -> None:
    line = error(begin("train", "--device", "cuda"))
    assert f"--cluster {ours.address}: no node has a core and a GPU for a worker" in line
    assert line.endswith("cores and 0 GPUs in all")
    (project / "token").write_text("another token")
    line = error(begin("train", RAY_AUTH_TOKEN_PATH=str(project / "token")))
    assert f"--cluster {ours.address}: wrong token, or none" in line
    line = error(begin("train", RAY_AUTH_TOKEN_PATH=str(project / "nowhere")))
    assert f"--cluster {ours.address}: wrong token, or none" in line


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://127.0.0.1:10001", "a Ray client cannot tell which nodes were lost; run the command on a machine of"),
        ("head", "--cluster head: allowed: auto, or HOST:PORT of the head"),
        ("head:port", "allowed: auto, or HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(
    address: str, message: str, project: Path, pipeline: Command
) -> None:
    done = pipeline("train", PIPELINE_CLUSTER=address)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_differs_first_is_named_with_versions_where_there_are_any() -> None:
    code = "a" * 64
    assert difference({"pipeline": code, "torchvision": "0.29"}, {"pipeline": code, "torchvision": "0.29"}) == ""
    assert difference({"mine": code}, {"mine": "b" * 64}).startswith("has another mine than this machine: ")
    line = difference({"torchvision": "0.29"}, {"torchvision": "0.30"})
    assert line.startswith("has another torchvision than this machine (0.30; here 0.29): ")


def test_without_ray_the_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="Ray is not installed; run `uv sync --extra cluster`"):
        joining.connected("auto", tmp_path)


@pytest.mark.slow
def test_where_nobody_listens_is_said_at_once(start: Start, project: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = start("train", "--cluster", address).wait()
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --cluster {address}: nobody listens there")
    assert len(done.stderr.splitlines()) == 1


def test_a_head_that_does_not_answer_for_long_is_gone() -> None:
    def found(*times: float) -> None:
        for now in times:
            head.check(now)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        head = Head(f"127.0.0.1:{port}", now=0)
        found(5, 10)
    found(15, 20)
    with socket.create_server(("127.0.0.1", port)):
        found(25)
    found(30, 35, 39)
    with pytest.raises(ExternalError, match=rf"the head .* at 127.0.0.1:{port} is gone; results so far are kept"):
        found(40)


GPUS = {"CPU": 8.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("device", "nodes", "jobs", "expected"),
    [
        ("auto", [{"CPU": 4.0}, {}], None, ("cpu", 0.0, 4)),
        ("auto", [{"CPU": 4.0}, GPUS, GPUS], None, ("cuda", 1.0, 8)),
        ("cpu", [{"CPU": 4.0}, GPUS], None, ("cpu", 0.0, 12)),
        ("auto", [GPUS, GPUS], 8, ("cuda", 1.0, 8)),
        ("cuda", [GPUS, GPUS], 24, ("cuda", 1 / 3, 16)),  # three share a GPU, but there are eight cores
        ("cuda", [{"CPU": 4.0}], None, ("cuda", 1.0, 0)),
        ("auto", [{"CPU": 1.0, "GPU": 4.0}], None, ("cuda", 1.0, 1)),
    ],
)
def test_room_is_counted_node_by_node(
    device: str, nodes: list[dict[str, float]], jobs: int | None, expected: tuple[Any, ...]
) -> None:
    kind, share = chosen_device(device, nodes, jobs)
    assert (kind, pytest.approx(share), room(nodes, share)) == expected


def test_a_cluster_deals_out_gpus_itself() -> None:
    with pytest.raises(UserError, match="--device cuda:1: a cluster assigns its GPUs itself; allowed: auto, cpu,"):
        chosen_device("cuda:1", [GPUS], None)
    assert no_room("h:1", [GPUS, {"CPU": 2.0}], 1.0).endswith("nodes: 2, with 10 cores and 4 GPUs in all")


def test_a_file_of_weights_must_be_below_the_project(project: Path) -> None:
    model = {"name": "torchvision:resnet18", "weights": "/x.pth"}
    (run,) = load(scheduler="step", seeds=1, **{"tasks__digits-mlp__model": model}).runs(1077)
    with pytest.raises(UserError, match=r"weights /x.pth: not in the project's folder"):
        Shipment.of([run], Path("data"))
