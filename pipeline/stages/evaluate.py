"""Score the trained runs, compare them, write the results, and log them to MLflow."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.errors import UserError
from pipeline.stages.common import DATA, MODELS, RESULTS, Machine, open_tracker, prepared_data, say, trained_runs, warn
from pipeline.sweep.execution import evaluate as evaluate_runs

if TYPE_CHECKING:
    from pipeline.runs.params import Params


def evaluate(params: "Params", console: Console, machine: Machine) -> None:
    """Score every trained run on the test set, write results/, and publish the recommended model in MLflow."""
    prepared = prepared_data(params)
    trained, sweep = trained_runs(params)
    tracker = None
    with machine.workers(len(trained), [record.run for record in trained], console) as workers:
        # These imports take seconds, so they are made while the workers import torch.
        from pipeline.report import results_folder
        from pipeline.report.answer_table import print_answer

        try:
            tracker = open_tracker(params, prepared, console, sweep.fingerprint)
        except UserError as error:
            warn(console, f"{error}; results are kept but not logged; `uv run pipeline track` logs them")
        evaluated = evaluate_runs(workers, DATA, MODELS, trained)
    findings = results_folder.write(RESULTS, params, prepared, trained, evaluated, sweep.stable)
    print_answer(console, findings, RESULTS / "report.html")
    if tracker is not None:
        tracker.log_results(trained, evaluated, findings, RESULTS, DATA)
        if findings.answer.kind == "nothing" and (last := tracker.last_verdict()):
            say(console, f"MLflow keeps the last verdict: {last}")


def track(params: "Params", console: Console, machine: Machine, all_models: bool = False) -> str:
    """Log any part of the trained sweep that is missing from MLflow, for example because its store was down.

    Args:
        params: the settings of the sweep.
        console: prints messages.
        machine: where to score the runs.
        all_models: publish the best run of each scheduler, not only of the recommended scheduler.

    Returns:
        A line that says how many runs of the sweep are in MLflow.

    Raises:
        ExternalError: MLflow's store failed.
    """
    from pipeline.report import results_folder

    prepared = prepared_data(params)
    trained, sweep = trained_runs(params)
    tracker = open_tracker(params, prepared, console, sweep.fingerprint)
    lacking = tracker.lacking(trained)
    if lacking or tracker.lacks_comparison(trained):
        with machine.workers(len(trained), [record.run for record in trained], console) as workers:
            evaluated = evaluate_runs(workers, DATA, MODELS, trained)
        with TemporaryDirectory() as folder:  # not results/, which may belong to another sweep
            findings = results_folder.write(Path(folder), params, prepared, trained, evaluated, sweep.stable)
            tracker.log_results(trained, evaluated, findings, Path(folder), DATA)
    if all_models:
        tracker.publish_all(trained, DATA)
    tracker.check()
    models = ", and a model of each scheduler" if all_models else ""
    return f"{tracker.address} has all {len(trained)} runs of {params.task}, {len(lacking)} of them new{models}"
