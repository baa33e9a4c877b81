"""Score the trained sweep, compare, write the results, and track them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.errors import ExternalError, UserError
from pipeline.stages.common import (
    DATA,
    MODELS,
    RESULTS,
    Machine,
    open_store,
    prepared_data,
    trained_runs,
    warn,
)
from pipeline.sweep.execution import evaluate as evaluate_runs

if TYPE_CHECKING:
    from pipeline.runs.params import Params


def evaluate(params: "Params", console: Console, machine: Machine) -> None:
    """Score every trained run on the test set, write results/, and publish each scheduler's best run in MLflow."""
    prepared = prepared_data(params)
    trained, sweep = trained_runs(params)
    store = None
    with machine.workers(len(trained), [record.run for record in trained], console) as workers:
        # All this takes its time, as torch does in the workers.
        from pipeline.report import results_folder
        from pipeline.report.answer_table import print_answer
        from pipeline.tracking.results import log

        try:
            store = open_store(params, prepared, console, sweep.fingerprint)
        except UserError as error:
            warn(console, f"{error}; results are kept, untracked: `uv run pipeline track` logs them")
        found = evaluate_runs(workers, DATA, MODELS, trained)
    findings = results_folder.write(RESULTS, params, prepared, trained, found, sweep.stable)
    print_answer(console, findings, RESULTS / "report.html")
    if store is not None:
        log(store, params, trained, found, findings, MODELS, RESULTS, DATA)
        if findings.answer.kind == "nothing" and (last := store.last_verdict()):
            console.print(f"MLflow keeps the last verdict: {last}", markup=False, highlight=False, soft_wrap=True)


def track(params: "Params", console: Console, machine: Machine) -> str:
    """Log to MLflow what its store lacks of the trained sweep: it was down, or is another one now.

    Returns:
        A line that says what the store has now.

    Raises:
        ExternalError: the store failed again.
    """
    from pipeline.report import results_folder
    from pipeline.tracking.results import fingerprint, log

    prepared = prepared_data(params)
    trained, sweep = trained_runs(params)
    store = open_store(params, prepared, console, sweep.fingerprint)
    lacking = [record for record in trained if store.lacks(record)]
    if lacking or store.lacks_comparison(fingerprint(params, prepared, trained)):
        with machine.workers(len(trained), [record.run for record in trained], console) as workers:
            found = evaluate_runs(workers, DATA, MODELS, trained)
        with TemporaryDirectory() as folder:  # results/ may be those of another sweep
            findings = results_folder.write(Path(folder), params, prepared, trained, found, sweep.stable)
            log(store, params, trained, found, findings, MODELS, Path(folder), DATA)
    if store.outage.lasts:
        raise ExternalError("nothing is lost: try again when the store is back")
    return f"{store.uri} has all {len(trained)} runs of {params.task}, {len(lacking)} of them from now on"
