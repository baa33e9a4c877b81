"""The command line: a thin command a stage. Heavy imports stand inside the commands, so that --help is quick."""

import errno
import math
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline.errors import ExternalError, UserError

if TYPE_CHECKING:
    from pipeline.data import Summary
    from pipeline.params import Params
    from pipeline.tracking import Store

DATA, MODELS, RESULTS = Path("data"), Path("models"), Path("results")

app = typer.Typer(
    name="pipeline",
    help="Train the same model under every learning-rate scheduler and compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Jobs = Annotated[
    int | None,
    typer.Option(min=1, envvar="PIPELINE_JOBS", help="Worker processes.", show_default="all cores"),
]
Device = Annotated[
    str,
    typer.Option(
        envvar="PIPELINE_DEVICE", help="auto, cpu, cuda, cuda:1, mps ... auto takes a GPU where there is one."
    ),
]


def root() -> Path:
    """The project's folder. An experiment in a temporary copy (`dvc exp run --temp`) is told where it came from."""
    return Path(os.environ.get("DVC_ROOT") or ".")


def _names(section: str) -> Callable[[str], list[str]]:
    """For shell completion: what lists the names in a section of params.yaml that begin as the word does."""

    def complete(incomplete: str) -> list[str]:
        from pipeline import params

        try:
            return [name for name in getattr(params.load(), section) if name.startswith(incomplete)]
        except UserError:
            return []

    return complete


@app.command()
def download() -> None:
    """Get the data of the task and prepare them in data/."""
    from pipeline import data, params

    summary = data.prepare(params.load().run_task.dataset.resolve(), DATA, root())
    sizes = ", ".join(f"{count:,} {part}" for part, count in summary.examples.items())
    classes = f"; {len(summary.classes)} classes" * bool(summary.classes)
    typer.echo(f"{summary.dataset}: {sizes}{classes}, SHA-256 {summary.digest[:12]}")


@app.command()
def train(jobs: Jobs = None, device: Device = "auto") -> None:
    """Train every run of the sweep that params.yaml asks for."""
    from pipeline import params, records
    from pipeline.cache import RUNS
    from pipeline.progress import Display
    from pipeline.sweep import Train, Workers

    start = time.monotonic()
    wanted = params.load()
    prepared = _prepared(wanted)
    runs = wanted.runs(prepared.examples["train"])
    jobs = min(jobs or _cores(), len(runs))
    tracked: dict[str, str] = {}
    trained, cached = 0.0, 0
    console = _console()
    trainer = Train(DATA, MODELS, root() / RUNS)
    with Workers(jobs, device) as workers:
        store = _store(wanted, prepared, console)
        for _ in workers.work(trainer.check, runs[:1]):  # they differ in nothing that it looks at
            pass
        records.clear(MODELS)
        with Display(console, runs, jobs) as display:
            # Seed by seed: soon there is something of every scheduler to see, here and among the latest 100 runs,
            # which are all that MLflow's charts show at first.
            for step in workers.work(trainer, sorted(runs, key=lambda run: wanted.seeds.index(run.seed))):
                done = step.result
                display.update(step.running, step.epochs, done.record if done else None)
                if done is not None:
                    if done.complaint:
                        _warn(console, done.complaint)
                    cached += done.cached
                    trained += 0 if done.cached else done.record.seconds
                    run_id = store.log(done.record, MODELS / done.record.run.name)
                    tracked |= {done.record.run.name: run_id} if run_id else {}
    records.write_sweep(MODELS, records.Sweep(wanted.task, [run.name for run in runs], tracked))
    wall = time.monotonic() - start
    overhead = max(0.0, 1 - trained / jobs / wall)
    failed = ", ".join(f"{display.failed[outcome]} {outcome}" for outcome in ("diverged", "dead"))
    typer.echo(
        f"trained {len(runs) - cached} runs and took {cached} from the cache, {failed}, in {wall:.1f} s "
        f"with {jobs} processes; {overhead:.0%} of that was not training"
    )


@app.command()
def evaluate(jobs: Jobs = None, device: Device = "auto") -> None:
    """Score every trained run on the test set, write results/ and publish each scheduler's best run in MLflow."""
    from pipeline import comparison, params, pictures, records, report
    from pipeline.sweep import Evaluate, Workers

    wanted = params.load()
    prepared = _prepared(wanted)
    index = records.read_sweep(MODELS)
    if index.task != wanted.task:
        raise UserError(f"{MODELS} holds runs of {index.task}, not of {wanted.task}; run `python -m pipeline train`")
    trained = [records.read(MODELS / name) for name in index.runs]
    found = {}
    console = _console()
    with Workers(min(jobs or _cores(), len(trained)), device) as workers:
        store = _store(wanted, prepared, console)
        for step in workers.work(Evaluate(DATA, MODELS), trained):
            if step.item is not None and step.result is not None:
                found[step.item.run.name] = step.result
    groups = comparison.grouped([(record, found[record.run.name].score) for record in trained])
    ranking = comparison.ranked(groups)
    best_runs = comparison.best_runs(trained)
    report.write_curves(RESULTS / "curves.csv", trained)
    report.write_learning_curves(RESULTS / "learning_curves.csv", trained)
    report.write_parameters(RESULTS / "parameters.csv", [(each, found[each.run.name].layers) for each in trained])
    report.write_metrics(RESULTS / "metrics.json", groups)
    pictures.draw_ranking(RESULTS / "ranking.png", ranking, wanted.baseline)
    pictures.draw_learning_curves(RESULTS / "learning_curves.png", groups)
    pictures.draw_parameters(RESULTS / "parameters.png", [(each, found[each.run.name].layers) for each in best_runs])
    report.print_ranking(console, wanted.task, ranking, wanted.baseline)
    for record in trained:
        if run_id := index.tracked.get(record.run.name):
            store.log_evaluation(run_id, record, found[record.run.name].score, found[record.run.name].layers)
    for best in best_runs:
        if run_id := index.tracked.get(best.run.name):
            store.publish(run_id, best, MODELS / best.run.name, DATA)


@app.command()
def cache(
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Remove what was of no use for so many days.")
    ] = None,
    larger_than: Annotated[
        float | None, typer.Option(min=0, metavar="MB", help="Remove the longest unused, down to so many megabytes.")
    ] = None,
) -> None:
    """List the run cache, in which every trained run is kept; prune it by age or size."""
    from pipeline import cache as runs
    from pipeline import report

    folder = root() / runs.RUNS
    if older_than is not None or larger_than is not None:
        gone = runs.prune(folder, older_than, None if larger_than is None else round(larger_than * 1e6))
        typer.echo(f"removed {len(gone)} runs, {sum(entry.size for entry in gone) / 1e6:.1f} MB")
    report.print_cache(_console(), list(runs.entries(folder)))


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port.", show_default="5000 or next")] = None,
) -> None:
    """Start the MLflow UI and print the links that matter."""
    from pipeline import comparison, params, records, tracking

    wanted = params.load()
    best: list[str] = []
    with suppress(UserError):  # without a trained sweep there is nothing to compare, but all else to see
        index = records.read_sweep(MODELS)
        chosen = comparison.best_runs(records.read(MODELS / name) for name in index.runs if index.task == wanted.task)
        best = [index.tracked[record.run.name] for record in chosen if record.run.name in index.tracked]
    store = tracking.uri(root())
    remote = store.startswith("http")
    port = port or (0 if remote else _free_port(host))
    server = store.rstrip("/") if remote else f"http://{host}:{port}"
    found = tracking.links(root(), server, wanted.task, best)
    width = max(map(len, found))
    for what, link in found.items():
        typer.echo(f"{what:<{width}}  {link}")
    if not remote:
        sys.stdout.flush()
        tracking.serve(root(), host, port)


@app.command()
def schedules(
    names: Annotated[
        list[str] | None, typer.Argument(autocompletion=_names("schedulers"), show_default="a table")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="The task whose budget counts.", autocompletion=_names("tasks"))
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Another number of epochs.")] = None,
    lr: Annotated[float | None, typer.Option(help="Another base rate.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another setting.")] = None,
    png: Annotated[Path | None, typer.Option(help="Where to draw.", show_default="results/schedules.png")] = None,
) -> None:
    """Explain schedulers: a table of all, or the learning-rate curves of some, without training."""
    from pipeline import params, pictures, report
    from pipeline import schedules as catalogue

    wanted = params.load()
    console = _console()
    if not names:
        rows = [(name, each.class_, *catalogue.about(each.class_)) for name, each in wanted.schedulers.items()]
        report.print_schedulers(console, rows)
        return
    changes = {"task": task or wanted.task, "scheduler": names, "seeds": 1, "optimizer": None}
    changes["lr"] = wanted.lr if lr is None else lr
    wanted = params.load(changes=changes)
    if epochs is not None:
        changes[f"tasks.{wanted.task}.epochs"] = epochs
    for name, setting in product(wanted.chosen_schedulers(), settings or []):
        key, _, value = setting.partition("=")
        changes[f"tasks.{wanted.task}.schedulers.{name}.{key}"] = params.parse(value)
    wanted = params.load(changes=changes)
    batches = _batches(wanted)
    curves = {}
    for run in wanted.runs(batches * wanted.run_task.batch_size):
        curves[run.group] = catalogue.curve(run.schedule, run.lr, run.epochs, batches)
        formula, source = catalogue.about(run.schedule["class"])
        report.print_curve(console, run.group, curves[run.group], run.epochs)
        details = ", ".join(f"{key}={value}" for key, value in run.schedule.items() if key != "class")
        console.print(f"  {formula}\n  {details}\n  {source}\n", markup=False, highlight=False)
    target = png or RESULTS / "schedules.png"
    pictures.draw_curves(target, curves, wanted.run_task.epochs, f"{wanted.task}: learning rate over the run")
    typer.echo(f"drawn in {target}")


def _prepared(wanted: "Params") -> "Summary":
    """The summary of the data in data/, which must be the task's."""
    from pipeline import data

    prepared = data.summary(DATA)
    needed = wanted.run_task.dataset.resolve()
    if prepared.settings != needed:
        name = f"{needed['name']} with other settings" if prepared.dataset == needed["name"] else needed["name"]
        raise UserError(
            f"{DATA} holds {prepared.dataset}, but {wanted.task} is trained on {name}; "
            "run `python -m pipeline download`"
        )
    return prepared


def _batches(wanted: "Params") -> int:
    """Batches of an epoch of the task; 100 where its data are not here to count."""
    try:
        return math.ceil(_prepared(wanted).examples["train"] / wanted.run_task.batch_size)
    except UserError:
        return 100


def _free_port(host: str) -> int:
    """5000, or the first port after it that is free."""
    for port in range(5000, 5100):
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) != 0:
                return port
    raise ExternalError(f"no port from 5000 to 5099 is free on {host}; give one with --port")


def _console() -> Console:
    """Where to print; a log, which has no width of its own, gets lines that hold every column."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=120)


def _store(wanted: "Params", prepared: "Summary", console: Console) -> "Store":
    from pipeline.tracking import Store

    return Store(root(), wanted.task, wanted.run_task, prepared, partial(_warn, console))


def _warn(console: Console, line: str) -> None:
    console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)


def _cores() -> int:
    """The cores that this process may use; a container's limit counts."""
    import joblib

    return int(joblib.cpu_count())


def main() -> None:
    """Run the command line; what a user can mend is one line, with exit code 2."""
    try:
        app(prog_name="pipeline")
    except UserError as error:
        _end(str(error), 2)
    except ExternalError as error:
        _end(str(error), 1)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        _end(f"{error.filename or 'a file'} could not be written: {error.strerror}", 1)


def _end(line: str, code: int) -> None:
    typer.secho(f"error: {line}", err=True, fg="red")
    sys.exit(code)
