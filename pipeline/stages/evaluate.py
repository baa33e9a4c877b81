"""Score the trained sweep, compare, write the results, and track them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.errors import ExternalError, UserError

if TYPE_CHECKING:
    from pipeline.params import Params


from pipeline.stages.common import (
    DATA,
    MODELS,
    RESULTS,
    Machine,
    evaluated,
    open_store,
    prepared_data,
    trained_runs,
    warn,
)


def evaluate(params: "Params", console: Console, machine: Machine) -> None:
    """Score every trained run on the test set, write results/, and publish each scheduler's best run in MLflow."""
    from pipeline.comparison.groups import best_of_each
    from pipeline.report import results
    from pipeline.report.answer import print_answer
    from pipeline.report.wording import verdict
    from pipeline.tracking.session import log_evaluations

    prepared = prepared_data(params)
    trained = trained_runs(params)
    store = None
    with machine.workers(len(trained)) as workers:
        try:
            store = open_store(params, prepared, console)
        except UserError as error:
            warn(console, f"{error}; results are kept, untracked: `uv run pipeline track` logs them")
        found = evaluated(workers, trained)
    findings = results.write(RESULTS, params, prepared, trained, found)
    print_answer(console, findings, RESULTS / "report.html")
    if store is not None:
        log_evaluations(store, trained, found, best_of_each(trained, params.run_seeds is None), MODELS, DATA)
        files = [RESULTS / name for name in results.WRITTEN]
        store.log_comparison(trained, _compared_by(params), files, verdict(findings))


def track(params: "Params", console: Console, machine: Machine) -> str:
    """Log to MLflow what its store lacks of the trained sweep: it was down, or is another one now.

    Returns:
        A line that says what the store has now.

    Raises:
        ExternalError: the store failed again.
    """
    from pipeline.comparison.groups import best_of_each
    from pipeline.report import results
    from pipeline.report.wording import verdict
    from pipeline.tracking.session import log_evaluations

    prepared = prepared_data(params)
    trained = trained_runs(params)
    store = open_store(params, prepared, console)
    lacking = [record for record in trained if store.lacks(record)]
    if lacking or store.lacks_comparison(trained, _compared_by(params)):
        with machine.workers(len(trained)) as workers:
            found = evaluated(workers, trained)
        log_evaluations(store, trained, found, best_of_each(trained, params.run_seeds is None), MODELS, DATA)
        with TemporaryDirectory() as folder:  # results/ may be those of another sweep
            findings = results.write(Path(folder), params, prepared, trained, found)
            files = [Path(folder) / name for name in results.WRITTEN]
            store.log_comparison(trained, _compared_by(params), files, verdict(findings))
    if store.failed:
        raise ExternalError("nothing is lost: try again when the store is back")
    return f"{store.uri} has all {len(trained)} runs of {params.task}, {len(lacking)} of them from now on"


def _compared_by(params: "Params") -> str:
    seeds = "auto" if params.run_seeds is None else "fixed seeds"
    return f"{params.run_metric} against {params.baseline}, margin {params.run_margin:g}, {seeds}"
