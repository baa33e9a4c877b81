"""MLflow's UI: the links that matter, a free port, and the server."""

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
    root_cause,
    store_uri,
)
from pipeline.tracking.registry import CHAMPION

PORTS = range(5000, 5100)
"""The ports to try where none is asked for."""


def links(
    root: Path, server: str, task: str, best: Sequence[Record], sweep: str = "", grid: bool = False
) -> dict[str, str]:
    """Return the pages of the MLflow UI that show a task, each under a description.

    Args:
        root: the project's folder.
        server: the address of the UI, such as http://127.0.0.1:5000.
        task: its name.
        best: the runs to compare; those that the store does not have are left out.
        sweep: the fingerprint of the latest sweep; empty if there is none.
        grid: True if it has several base LRs.

    Raises:
        UserError: the store cannot be read or has no such task.
    """
    uri = store_uri(root)
    try:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(task)
        if experiment is not None:
            ids = [
                run.info.run_id
                for each in best
                for run in find_runs(client, experiment.experiment_id, each.run.name, each.fingerprint)[:1]
            ]
            query, order = f"attributes.run_name = '{COMPARISON}'", ["start_time DESC"]
            is_registered = bool(client.search_registered_models(f"name = '{task}'"))
            latest = client.search_runs([experiment.experiment_id], query, order_by=order, max_results=1)
    except Exception as error:  # requests, SQLAlchemy and MLflow each raise their own
        raise UserError(f"MLflow: the store {uri} cannot be used ({root_cause(error)})") from None
    if experiment is None:
        raise UserError(f"MLflow: {uri} has no runs of {task}; run `uv run dvc repro` first")
    page = f"{server}/#/experiments/{experiment.experiment_id}/runs"
    found = {f"the latest verdict, its run `{COMPARISON}`": f"{page}/{run.info.run_id}" for run in latest}
    if sweep:
        of_sweep = quote(f"tags.sweep LIKE '%{sweep}%'")
        charts = f"{page}?compareRunsMode=CHART&viewStateShareKey={sweep}"
        if grid:
            found["charts, each scheduler at its own base LR"] = charts + OWN
        found[f"charts, each scheduler{' and base LR' if grid else ''}"] = charts
        found["the latest sweep's runs"] = f"{page}?searchFilter={of_sweep}"
    if is_registered:
        found[f"the recommended model, models:/{task}@{CHAMPION}"] = f"{server}/#/models/{quote(task)}"
    found["all runs"] = page
    if ids:
        query = f"runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([experiment.experiment_id]))}"
        found["each scheduler's best run"] = f"{server}/#/compare-runs?{query}"
    return found


def choose_port(host: str, wanted: int | None = None) -> int:
    """Return a port that a server can listen on: ``wanted``, or the first free one of `PORTS`.

    Raises:
        UserError: this machine cannot listen on ``host``.
        ExternalError: ``wanted`` is taken, or all of `PORTS` are.
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
    """Listen for a moment. A connection would not tell: what holds a port need not answer."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does, for a port just given up
        probe.bind(address)
        probe.listen()


def serve(root: Path, host: str, port: int) -> NoReturn:
    """Replace this process by MLflow's server on the project's store, so that a signal to one stops the other."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store_uri(root)]
    command += ["--default-artifact-root", artifacts_uri(root), "--host", host, "--port", str(port)]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # or ten more processes wait for jobs
    os.execv(sys.executable, command)
