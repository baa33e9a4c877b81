"""Links to pages of a real store, the choice of a port, and the real server."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from pipeline.datasets import Summary
from pipeline.errors import ExternalError, UserError
from pipeline.tracking import ui
from pipeline.tracking.experiment import Experiment, TrackedSweep
from pipeline.tracking.writers import EndedRun
from tests.helpers.fork_server import path
from tests.helpers.processes import wait_for
from tests.helpers.project import FOREIGN, ROOT
from tests.helpers.servers import free_port
from tests.tracking.conftest import Trained, log, only, open_experiment, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)
SERVER = "http://tracking.example.org"


def test_links_lead_to_the_experiment(root: Path, experiment: Experiment, trained: Trained) -> None:
    logged = [trained.record, trained.other]
    log(experiment, *logged)
    first, second = (only(root, record).info.run_id for record in logged)
    links = ui.links(root, SERVER, "digits-mlp", trained.records, "abc", grid=True)  # the third run is not in the store
    page = f"{SERVER}/#/experiments/{experiment.id}/runs"
    assert list(links.values()) == [
        f"{page}?compareRunsMode=CHART&viewStateShareKey=abc-own",
        f"{page}?compareRunsMode=CHART&viewStateShareKey=abc",
        f"{page}?searchFilter=tags.sweep%20LIKE%20%27%25abc%25%27",
        page,
        f"{SERVER}/#/compare-runs?runs=%5B%22{first}%22%2C%20%22{second}%22%5D&experiments=%5B%221%22%5D",
    ]


def test_the_first_link_leads_to_the_latest_verdict(root: Path, experiment: Experiment) -> None:
    for number, words in enumerate(["Use step.", "Keep constant."], start=1):
        experiment.runs.write([EndedRun("comparison", number, number, {"fingerprint": words, "verdict": words}, [])])
    latest, *_ = ui.links(root, SERVER, "digits-mlp", []).values()
    run = experiment.client.get_run(latest.rpartition("/")[2])
    assert run.data.tags["verdict"] == "Keep constant."


def test_a_task_without_runs_is_one_line(root: Path) -> None:
    with pytest.raises(UserError, match="has no runs of mnist-mlp; run `uv run dvc repro` first"):
        ui.links(root, SERVER, "mnist-mlp", [])


def test_a_port_that_is_taken_is_one_line() -> None:
    """A port counts as taken even if the process that uses it does not accept connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ExternalError, match=f"--port {port}: not free on 127.0.0.1") as raised:
            ui.choose_port("127.0.0.1", port)
    assert "choose another, or leave --port out" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert ui.choose_port("127.0.0.1", port) == port


def test_without_a_port_the_first_free_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(ui, "PORTS", range(port, port + 100))
        assert port < ui.choose_port("127.0.0.1") < port + 100
        monkeypatch.setattr(ui, "PORTS", range(port, port + 1))
        with pytest.raises(ExternalError, match=f"no port from {port} to {port} is free on 127.0.0.1"):
            ui.choose_port("127.0.0.1")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "..", "x" * 70])
def test_a_host_that_is_not_this_machine_is_one_line(host: str) -> None:
    with pytest.raises(UserError, match=r"^--host .*: this machine cannot listen there \(.+\); try 127\.0\.0\.1$"):
        ui.choose_port(host)


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1"])
def test_a_host_of_this_machine_is_accepted(host: str) -> None:
    try:
        socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        port = ui.choose_port(host)
    except (OSError, UserError):
        assert host == "::1"  # this machine has no IPv6
    else:
        assert port in ui.PORTS


@pytest.mark.slow
def test_the_server_shows_the_store_of_the_project(
    tmp_path: Path, empty_store: Path, summary: Summary, trained: Trained
) -> None:
    """The project's path contains characters that have a special meaning in URIs."""
    root = tmp_path / "100%25 a%b"
    root.mkdir()
    (root / "mlflow.db").write_bytes(empty_store.read_bytes())
    script = "import shutil, sys; from pathlib import Path; from pipeline.tracking import ui\n"
    script += "sys.executable = shutil.which('python'); ui.serve(Path(), *sys.argv[1:])"
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", script, "127.0.0.1", str(port)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path(), "MLFLOW_WORKERS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        run_id = log_in(root, summary, trained)
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/health"), 120)
        answer = requests.get(f"{address}/get-artifact", {"run_uuid": run_id, "path": "curve.csv"}, timeout=60)
        assert answer.content == (trained.folder(trained.record) / "curve.csv").read_bytes()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False


def log_in(root: Path, summary: Summary, trained: Trained) -> str:
    """Log a run to the store in ``root``, and return MLflow's id of the run."""
    below = root / "a" / "b" / "c"  # makes the relative address new, because MLflow opens an address only once
    below.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        log(open_experiment(TrackedSweep(root, wanted(), summary, trained.models)), trained.record)
        return str(only(root, trained.record).info.run_id)
