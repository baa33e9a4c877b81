"""Start MLflow's UI, and find its pages about a task."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.stages.common import root, trained_runs

if TYPE_CHECKING:
    from pipeline.runs.params import Params
    from pipeline.runs.records import Record


def ui(params: "Params", host: str, port: int | None) -> tuple[dict[str, str], Callable[[], None]]:
    """Find the pages about the task in MLflow's UI.

    Returns:
        The links, keyed by description, and a function that starts the UI. If the store is a server, which has its
        own UI, the function does nothing.
    """
    from pipeline.comparison.groups import best_of_each, is_grid
    from pipeline.tracking.client import store_uri
    from pipeline.tracking.ui import choose_port, links, serve

    best: list[Record] = []
    sweep, grid = "", False
    with suppress(UserError):  # without a trained sweep, the links to a sweep's runs are left out
        trained, index = trained_runs(params)
        sweep, grid = index.fingerprint, is_grid(record.run for record in trained)
        best = best_of_each(trained, params.run_seeds is None)
    uri = store_uri(root())
    if uri.startswith("http"):
        return links(root(), uri.rstrip("/"), params.task, best, sweep, grid), lambda: None
    port = choose_port(host, port)
    pages = links(root(), f"http://{host}:{port}", params.task, best, sweep, grid)
    return pages, partial(serve, root(), host, port)
