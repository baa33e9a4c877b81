"""Functions that link to a task's pages in MLflow's UI, choose a port, and start the UI's server."""

import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from pipeline.errors import ExternalError, UserError
from pipeline.runs.records import Record
from pipeline.tracking.charts import OWN
from pipeline.tracking.client import (
    COMPARISON,
    MlflowClient,
    artifacts_uri,
    find_runs,
    latest_comparison,
    required,
    shown,
    store_uri,
)
from pipeline.tracking.models import CHAMPION

PORTS = range(5000, 5100)
"""The ports to try if the user does not name a port."""


def links(
    root: Path, server: str, task: str, best: Sequence[Record], sweep: str = "", grid: bool = False
) -> dict[str, str]:
    """Return links to a task's pages in MLflow's UI, keyed by descriptions of the pages.

    Args:
        root: the project's folder.
        server: the address of the UI, such as http://127.0.0.1:5000.
        task: the name of the task.
        best: the runs to compare, some of which may be missing from the store.
        sweep: the fingerprint of the latest sweep; empty if there is no sweep.
        grid: True if the sweep has several base LRs.

    Raises:
        UserError: the store cannot be read, or has no runs of the task.
    """
    uri = store_uri(root)
    with required(uri):
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(task)
        if experiment is None:
            raise UserError(f"MLflow: {shown(uri)} has no runs of {task}; run `uv run dvc repro` first")
        number = experiment.experiment_id
        found = [find_runs(client, number, record.run.name, record.fingerprint) for record in best]
        ids = [runs[0].info.run_id for runs in found if runs]
        latest = latest_comparison(client, number)
        is_registered = bool(client.search_registered_models(f"name = '{task}'"))
    page = f"{server}/#/experiments/{number}/runs"
    pages = {f"the latest verdict, its run `{COMPARISON}`": f"{page}/{latest.info.run_id}"} if latest else {}
    if sweep:
        of_sweep = quote(f"tags.sweep LIKE '%{sweep}%'")
        charts = f"{page}?compareRunsMode=CHART&viewStateShareKey={sweep}"
        if grid:
            pages["charts, each scheduler at its own base LR"] = charts + OWN
        pages[f"charts, each scheduler{' and base LR' if grid else ''}"] = charts
        pages["the latest sweep's runs"] = f"{page}?searchFilter={of_sweep}"
    if is_registered:
        pages[f"the recommended model, models:/{task}@{CHAMPION}"] = f"{server}/#/models/{quote(task)}"
    pages["all runs"] = page
    if ids:
        query = f"runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([number]))}"
        pages["each scheduler's best run"] = f"{server}/#/compare-runs?{query}"
    return pages


def choose_port(host: str, wanted: int | None = None) -> int:
    """Return a port that a server can listen on: ``wanted`` if it is given, otherwise the first free port in `PORTS`.

    Raises:
        UserError: this machine cannot listen on ``host``.
        ExternalError: the port ``wanted`` is taken, or all ports in `PORTS` are taken.
    """
    try:
        _bind(host, 0)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise UserError(f"--host {host}: this machine cannot listen there ({reason}); try 127.0.0.1") from None
    for port in PORTS if wanted is None else [wanted]:
        try:
            _bind(host, port)
        except OSError as error:
            reason = error.strerror
        else:
            return port
    if wanted is None:
        raise ExternalError(f"no port from {PORTS[0]} to {PORTS[-1]} is free on {host}; choose another with --port")
    raise ExternalError(f"--port {wanted}: not free on {host} ({reason}); choose another, or leave --port out")


def _bind(host: str, port: int) -> None:
    """Listen on a port briefly to check that the port is free.

    A failed connection would not prove that the port is free, because the process that uses it might not answer.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the server sets this option, too
        probe.bind(address)
        probe.listen()


def serve(root: Path, host: str, port: int) -> NoReturn:
    """Replace this process with MLflow's server for the project's store, so that signals reach the server directly."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store_uri(root)]
    command += ["--default-artifact-root", artifacts_uri(root), "--host", host, "--port", str(port)]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # otherwise, MLflow starts ten more processes
    os.execv(sys.executable, command)
