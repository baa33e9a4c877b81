"""Score the trained sweep, compare, write the results, and track them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import records
from pipeline.errors import ExternalError, UserError
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.comparison.answer import Findings
    from pipeline.params import Params
    from pipeline.records import Record
    from pipeline.sweep.jobs import Evaluation
    from pipeline.tracking.store import Store


def evaluate(params: "Params", console: Console, machine: Machine) -> None:
    """Score every trained run on the test set, write results/, and publish each scheduler's best run in MLflow."""
    from pipeline.report import results
    from pipeline.report.answer import print_answer

    prepared = prepared_data(params)
    trained = trained_runs(params)
    store = None
    with machine.workers(len(trained)) as workers:
        try:
            store = open_store(params, prepared, console)
        except UserError as error:
            warn(console, f"{error}; results are kept, untracked: `uv run pipeline track` logs them")
        found = evaluated(workers, trained)
    findings = results.write(RESULTS, params, prepared, trained, found, records.read_sweep(MODELS).stable)
    print_answer(console, findings, RESULTS / "report.html")
    if store is not None:
        _log(store, params, trained, found, findings, RESULTS)


def track(params: "Params", console: Console, machine: Machine) -> str:
    """Log to MLflow what its store lacks of the trained sweep: it was down, or is another one now.

    Returns:
        A line that says what the store has now.

    Raises:
        ExternalError: the store failed again.
    """
    from pipeline.report import results

    prepared = prepared_data(params)
    trained = trained_runs(params)
    store = open_store(params, prepared, console)
    lacking = [record for record in trained if store.lacks(record)]
    if lacking or store.lacks_comparison(trained, _compared_by(params)):
        with machine.workers(len(trained)) as workers:
            found = evaluated(workers, trained)
        with TemporaryDirectory() as folder:  # results/ may be those of another sweep
            stable = records.read_sweep(MODELS).stable
            findings = results.write(Path(folder), params, prepared, trained, found, stable)
            _log(store, params, trained, found, findings, Path(folder))
    if store.failed:
        raise ExternalError("nothing is lost: try again when the store is back")
    return f"{store.uri} has all {len(trained)} runs of {params.task}, {len(lacking)} of them from now on"


def _log(
    store: "Store",
    params: "Params",
    trained: "Sequence[Record]",
    found: "Mapping[str, Evaluation]",
    findings: "Findings",
    folder: Path,
) -> None:
    """Log the evaluation of each run, the best models, and the comparison, whose files are in ``folder``."""
    from pipeline.comparison.groups import best_of_each
    from pipeline.report import results
    from pipeline.report.wording import verdict
    from pipeline.tracking.session import log_evaluations

    log_evaluations(store, trained, found, best_of_each(trained, params.run_seeds is None), MODELS, DATA)
    files = [folder / name for name in results.WRITTEN]
    store.log_comparison(trained, _compared_by(params), files, verdict(findings))


def _compared_by(params: "Params") -> str:
    seeds = "auto" if params.run_seeds is None else "fixed seeds"
    return f"{params.run_metric} against {params.baseline}, margin {params.run_margin:g}, {seeds}"
