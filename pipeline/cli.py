"""The command line: a thin command a stage. Heavy imports stand inside the commands, so that --help is quick."""

import errno
import hashlib
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline.errors import ExternalError, UserError
from pipeline.shutdown import defer_signals, install_handlers

if TYPE_CHECKING:
    from pipeline.comparison.questions import Group, Question
    from pipeline.data import Summary
    from pipeline.params import Params, Run
    from pipeline.records import Record, Timing
    from pipeline.report.page import Source
    from pipeline.sweep.jobs import Train, Trained
    from pipeline.sweep.pool import Workers
    from pipeline.sweep.progress import Display
    from pipeline.tracking.store import Store
    from pipeline.training.evaluation import Evaluation

DATA, MODELS, RESULTS = Path("data"), Path("models"), Path("results")
CACHE = Path(".cache")
WRITTEN = (
    *("report.html", "report.md", "metrics.json", "curves.csv", "learning_curves.csv", "parameters.csv"),
    *("ranking.png", "learning_curves.png", "parameters.png", "figures"),
)
"""What `evaluate` writes, in results/."""

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
def train(
    jobs: Jobs = None,
    device: Device = "auto",
    checkpoint_every: Annotated[
        float,
        typer.Option(
            min=0,
            envvar="PIPELINE_CHECKPOINT_EVERY",
            metavar="SECONDS",
            help="Between two checkpoints of what is trained.",
        ),
    ] = 5.0,
) -> None:
    """Train every run of the sweep that params.yaml asks for."""
    from pipeline import params, records
    from pipeline.schedules import lint as checks
    from pipeline.sweep.jobs import Train
    from pipeline.sweep.pool import Workers
    from pipeline.sweep.progress import Display

    start = time.monotonic()
    wanted = params.load()
    prepared = _prepared(wanted)
    runs = wanted.runs(prepared.examples["train"])
    cores = jobs or _cores()
    jobs = min(cores, len(runs))
    console = _console()
    trainer = Train(DATA, MODELS, root() / CACHE, checkpoint_every, threads=cores // jobs)
    trained: list[Trained] = []
    complain = _complaints(console)
    failed: dict[str, str] = {}

    def fail(stack: "Sequence[Run]", reason: str) -> None:
        failed.update({run.name: reason for run in stack})

    with _alone(console), Workers(jobs, device) as workers:
        store = _store(wanted, prepared, console)
        small = any(step.result for step in workers.work(trainer.check, runs[:1]))  # all are alike in what it looks at
        for doubt in checks.all_doubts(workers, runs, prepared.examples["train"]):
            _warn(console, doubt)
        records.clear(MODELS)
        with Display(console, runs, jobs) as display, _tracking(store, workers) as log:
            # Seed by seed: soon there is something of every scheduler to see, here and among the latest 100 runs,
            # which are all that MLflow's charts show at first.
            order = sorted(runs, key=lambda run: wanted.seeds.index(run.seed))
            for done in _swept(workers, trainer, order, small, display, fail):
                trained.append(done)
                complain(done)
                log(done)
        for found in workers.work(trainer.mark, [run for run in runs if run.name in failed]):
            if found.item is not None and found.result is not None:
                store.log_failure(found.item, found.result, failed[found.item.name])
    if failed:
        reasons = "; ".join(sorted(set(failed.values())))
        raise ExternalError(
            f"{len(failed)} of {len(runs)} runs failed ({reasons}): {', '.join(failed)}; the others are kept, and "
            "need not be trained again"
        )
    records.write_sweep(MODELS, records.Sweep(wanted.task, [run.name for run in runs]))
    wall = time.monotonic() - start
    count = Counter(done.origin for done in trained)
    resumed = f", {count['resumed']} of them from a checkpoint on," if count["resumed"] else ""
    overhead = max(0.0, 1 - sum(done.seconds for done in trained) / jobs / wall)
    outcomes = ", ".join(f"{display.failed[outcome]} {outcome}" for outcome in ("diverged", "dead"))
    typer.echo(
        f"trained {len(runs) - count['cached']} runs{resumed} and took {count['cached']} from the cache, {outcomes}, "
        f"in {wall:.1f} s with {jobs} processes; {overhead:.0%} of that was not training"
    )


def _swept(
    workers: "Workers",
    trainer: "Train",
    runs: "Sequence[Run]",
    small: bool,
    display: "Display",
    fail: "Callable[[Sequence[Run], str], None] | None" = None,
) -> "Iterator[Trained]":
    """What comes of each of ``runs``, as it comes; ``fail`` is `failed` of `Workers.work`."""
    from pipeline.sweep.jobs import stacked

    told = {"failed": fail} if fail else {}
    pieces = stacked(runs, workers.jobs, small)
    for step in workers.work(trainer, pieces, split=lambda stack: [[run] for run in stack], **told):
        running = [run for stack in step.running for run in stack]
        display.update(running, step.epochs)
        for done in step.result or ():
            cached = done.origin == "cached"
            display.update(running, step.epochs, done.record, done.timing.seconds, cached)
            yield done


@app.command()
def evaluate(jobs: Jobs = None, device: Device = "auto") -> None:
    """Score every trained run on the test set, write results/ and publish each scheduler's best run in MLflow."""
    from pipeline import params
    from pipeline.comparison import questions as comparison
    from pipeline.comparison import wording as verdict
    from pipeline.report import terminal as report
    from pipeline.sweep.pool import Workers

    wanted = params.load()
    prepared = _prepared(wanted)
    trained = _trained(wanted)
    console = _console()
    store = None
    with Workers(min(jobs or _cores(), len(trained)), device) as workers:
        try:
            store = _store(wanted, prepared, console)
        except UserError as error:
            _warn(console, f"{error}; results are kept, untracked: `python -m pipeline track` logs them")
        found = _scored(workers, trained)
    groups, questions = _tell(RESULTS, wanted, prepared, trained, found)
    metric = wanted.run_metric
    report.print_ranking(console, wanted.task, comparison.ranked(groups, metric), metric, questions)
    report.print_answers(console, groups, questions, metric)
    words = verdict.words(groups, questions, wanted.baseline)
    if not questions:
        console.print(words, markup=False, highlight=False)
    if store is not None:
        _track(store, trained, found)
        store.log_comparison(trained, _about(wanted), [RESULTS / name for name in WRITTEN], words)


@app.command()
def track(jobs: Jobs = None, device: Device = "auto") -> None:
    """Log to MLflow what its store lacks of the trained sweep: it was down, or is another one now."""
    from pipeline import params
    from pipeline.comparison import wording as verdict
    from pipeline.sweep.pool import Workers

    wanted = params.load()
    prepared = _prepared(wanted)
    trained = _trained(wanted)
    store = _store(wanted, prepared, _console())
    lacking = [record for record in trained if store.lacks(record)]
    if lacking or store.lacks_comparison(trained, _about(wanted)):
        with Workers(min(jobs or _cores(), len(trained)), device) as workers:
            found = _scored(workers, trained)
        _track(store, trained, found)
        with TemporaryDirectory() as folder:  # results/ may be those of another sweep
            groups, questions = _tell(Path(folder), wanted, prepared, trained, found)
            files = [Path(folder) / name for name in WRITTEN]
            store.log_comparison(trained, _about(wanted), files, verdict.words(groups, questions, wanted.baseline))
    if store.failed:
        raise ExternalError("nothing is lost: try again when the store is back")
    typer.echo(f"{store.uri} has all {len(trained)} runs of {wanted.task}, {len(lacking)} of them from now on")


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
    from pipeline.report import terminal as report
    from pipeline.sweep import cache as runs

    folder = root() / CACHE
    if older_than is not None or larger_than is not None:
        gone = runs.prune(folder, older_than, None if larger_than is None else round(larger_than * 1e6))
        typer.echo(f"removed {len(gone)} runs, {sum(entry.size for entry in gone) / 1e6:.1f} MB")
    report.print_cache(_console(), list(runs.entries(folder)))


@app.command()
def calibrate(
    sweeps: Annotated[int, typer.Option(min=1, help="How many to make up, and to draw from real runs.")] = 1000,
    seeds: Annotated[int, typer.Option(min=2, max=100, help="Of each scheduler in them.")] = 5,
    jobs: Jobs = None,
    device: Device = "auto",
) -> None:
    """Ask how often the verdict is wrong where all schedulers are one, and how small a difference it finds."""
    from numpy.random import default_rng

    from pipeline import params
    from pipeline.comparison import calibration
    from pipeline.report import terminal as report

    wanted = params.load()
    _prepared(wanted)
    console = _console()
    schedulers = len(wanted.schedulers)
    figures = _many(wanted, schedulers * seeds, jobs, device, console)
    with console.status("comparing"):
        shares = {
            "figures made up, all from one normal distribution": calibration.simulated(
                sweeps, schedulers, seeds, default_rng(0)
            ),
            f"{wanted.task}, {len(figures)} runs of {wanted.baseline}": calibration.resampled(
                figures, sweeps, schedulers, seeds, default_rng(0)
            ),
        }
    deviation = calibration.paired_deviation(figures)
    tables = [calibration.power_table(calibration.SEEDS, count, deviation) for count in (1, schedulers - 1)]
    title = f"{schedulers} times the same scheduler, {seeds} seeds each: sweeps in which any is called better or worse"
    report.print_shares(console, shares, title)
    report.print_power(console, tables, wanted.run_metric, deviation)


def _many(wanted: "Params", seeds: int, jobs: int | None, device: str, console: Console) -> list[float]:
    """The metric of runs of the baseline that differ in their seeds; models/ is left as it is."""
    from pipeline.sweep.jobs import Train
    from pipeline.sweep.pool import Workers
    from pipeline.sweep.progress import Display

    pool = wanted.model_copy(update={"scheduler": wanted.baseline, "seeds": list(range(seeds))})
    runs = pool.runs(_prepared(wanted).examples["train"])
    runs = [run for run in runs if run.group == runs[0].group]  # of several optimizers and base LRs, the first
    cores = jobs or _cores()
    jobs = min(cores, len(runs))
    complain = _complaints(console)
    with TemporaryDirectory() as folder, _alone(console), Workers(jobs, device) as workers:
        trainer = Train(DATA, Path(folder), root() / CACHE, threads=cores // jobs)
        small = any(step.result for step in workers.work(trainer.check, runs[:1]))
        trained = []
        with Display(console, runs, jobs) as display:
            for done in _swept(workers, trainer, runs, small, display):
                trained.append(done.record)
                complain(done)
        found = _scored(workers, trained, Path(folder))
    return [getattr(found[run.name].score, wanted.run_metric) for run in runs]


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port.", show_default="5000 or next")] = None,
) -> None:
    """Start the MLflow UI and print the links that matter."""
    from pipeline import params
    from pipeline.comparison import questions as comparison
    from pipeline.tracking.client import store_uri
    from pipeline.tracking.ui import choose_port, links, serve

    wanted = params.load()
    best = []
    with suppress(UserError):  # without a trained sweep there is nothing to compare, but all else to see
        best = comparison.best_runs(_trained(wanted))
    store = store_uri(root())
    remote = store.startswith("http")
    listen = 0 if remote else choose_port(host, port)
    server = store.rstrip("/") if remote else f"http://{host}:{listen}"
    found = links(root(), server, wanted.task, best)
    width = max(map(len, found))
    for what, link in found.items():
        typer.echo(f"{what:<{width}}  {link}")
    if not remote:
        sys.stdout.flush()
        serve(root(), host, listen)


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
    from pipeline import params
    from pipeline.report import figures as pictures
    from pipeline.report import terminal as report
    from pipeline.schedules import build as catalogue
    from pipeline.schedules import lint as checks

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
        for doubt in checks.doubts(run, curves[run.group]):
            _warn(console, doubt)
    target = png or RESULTS / "schedules.png"
    title = f"{wanted.task}: learning rate over the run"
    pictures.save(pictures.rates(curves, wanted.run_task.epochs, title), target)
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


def _trained(wanted: "Params") -> "list[Record]":
    """The runs of the trained sweep, which must be the task's."""
    from pipeline import records

    index = records.read_sweep(MODELS)
    if index.task != wanted.task:
        raise UserError(f"{MODELS} holds runs of {index.task}, not of {wanted.task}; run `python -m pipeline train`")
    return [records.read(MODELS / name) for name in index.runs]


def _scored(workers: "Workers", trained: "Sequence[Record]", models: Path = MODELS) -> "dict[str, Evaluation]":
    """The test set's figures of the runs in ``models``, by their names."""
    from pipeline.sweep.jobs import Evaluate

    steps = workers.work(Evaluate(DATA, models), trained)
    return {step.item.run.name: step.result for step in steps if step.item is not None and step.result is not None}


def _tell(
    folder: Path,
    wanted: "Params",
    prepared: "Summary",
    trained: "Sequence[Record]",
    found: "Mapping[str, Evaluation]",
) -> "tuple[list[Group], list[Question]]":
    """Write what the ``trained`` runs say into ``folder``, files that are `WRITTEN`; the groups, and their verdict."""
    from pipeline.comparison import questions as comparison
    from pipeline.report import figures as pictures
    from pipeline.report import page
    from pipeline.report import terminal as report

    layers = [(record, found[record.run.name].layers) for record in trained]
    groups = comparison.grouped([(record, found[record.run.name].score) for record in trained])
    metric = wanted.run_metric
    questions = comparison.questions(groups, wanted.baseline, metric)
    report.write_curves(folder / "curves.csv", trained)
    report.write_learning_curves(folder / "learning_curves.csv", trained)
    report.write_parameters(folder / "parameters.csv", layers)
    report.write_metrics(folder / "metrics.json", groups, questions)
    figures = pictures.write(folder, groups, metric, questions, layers)
    page.write(folder, groups, questions, metric, figures, _source(wanted, prepared))
    return groups, questions


@contextmanager
def _tracking(store: "Store", workers: "Workers") -> "Iterator[Callable[[Trained], None]]":
    """Yield what logs a run; whatever ends the block, all that is finished then is logged."""
    from pipeline import records

    logged = set()

    def log(done: "Trained") -> None:
        with defer_signals():
            store.log(done.record, MODELS / done.record.run.name, done.timing)
        logged.add(done.record.run.name)

    try:
        yield log
    except BaseException:
        workers.kill()
        with defer_signals():
            for record in records.finished(MODELS):
                if record.run.name not in logged:
                    store.log(record, MODELS / record.run.name, None)
        raise


def _track(store: "Store", trained: "Sequence[Record]", found: "Mapping[str, Evaluation]") -> None:
    """Log what ``found`` has of the ``trained`` runs, and publish the best of each group."""
    from pipeline.comparison import questions as comparison

    for record in trained:
        if evaluation := found.get(record.run.name):
            store.log_evaluation(record, MODELS / record.run.name, evaluation.score, evaluation.layers)
    for best in comparison.best_runs(trained):
        store.publish(best, MODELS / best.run.name, DATA)


def _about(wanted: "Params") -> str:
    """What runs are compared by, and with."""
    return f"{wanted.run_metric} against {wanted.baseline}"


def _source(wanted: "Params", prepared: "Summary") -> "Source":
    """Where the results of this folder come from."""
    from pipeline import git, params
    from pipeline.report.page import Source

    task, model = wanted.run_task, wanted.run_task.model
    sizes = ", ".join(f"{key} {value}" for key, value in model.model_dump().items() if key != "name")
    to_train, to_test = task.train_subset or prepared.examples["train"], prepared.examples["test"]
    about = (
        f"{model.name} ({sizes}) on {prepared.dataset}, {to_train:,} examples to train on and "
        f"{to_test:,} to test on; {task.loss}, {task.epochs} epochs, batches of {task.batch_size}"
    )
    changed = "  # and what was changed since" if git.is_changed(root()) else ""
    settings = params.FILE.read_text(encoding="utf-8")
    return Source(wanted.task, about, git.commit(root()) + changed, settings, wanted.baseline)


def _batches(wanted: "Params") -> int:
    """Batches of an epoch of the task; 100 where its data are not here to count."""
    if wanted.run_task.train_subset is not None:
        return math.ceil(wanted.run_task.train_subset / wanted.run_task.batch_size)
    try:
        return math.ceil(_prepared(wanted).examples["train"] / wanted.run_task.batch_size)
    except UserError:
        return 100


@contextmanager
def _alone(console: Console) -> Iterator[None]:
    """Wait for another sweep that trains in this folder: two would write to the same models/.

    What was half-written when workers were killed, now or in a sweep before, is removed.
    """
    from filelock import FileLock, Timeout

    from pipeline.files import clear_drafts
    from pipeline.sweep import cache

    def tidy() -> None:
        clear_drafts(MODELS)
        cache.clear(root() / CACHE)

    here = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]
    lock = FileLock(root() / CACHE / f"train-{here}.lock")
    Path(lock.lock_file).parent.mkdir(exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _warn(console, "another sweep trains in this folder; this one waits for its end")
        lock.acquire()
    try:
        tidy()
        yield
    finally:
        tidy()
        lock.release()


def _console() -> Console:
    """Where to print; a log, which has no width of its own, gets lines that hold every column."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=120)


def _store(wanted: "Params", prepared: "Summary", console: Console) -> "Store":
    from pipeline.sweep import cache
    from pipeline.tracking.store import Store

    def timing(record: "Record") -> "Timing | None":
        return cache.timing(root() / CACHE / cache.RUNS / record.fingerprint)

    return Store(root(), wanted.task, wanted.run_task, prepared, partial(_warn, console), timing)


def _complaints(console: Console) -> "Callable[[Trained], None]":
    """What warns of what was wrong with the cache; of the same thing once, though it befalls every run."""
    told: set[str] = set()

    def complain(done: "Trained") -> None:
        for complaint in done.complaints:
            if complaint not in told:
                _warn(console, f"{done.record.run.name} {complaint}")
            told.add(complaint)

    return complain


def _warn(console: Console, line: str) -> None:
    console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)


def _cores() -> int:
    """The cores that this process may use; a container's limit counts."""
    import joblib

    return int(joblib.cpu_count())


def main() -> None:
    """Run the command line; what a user can mend is one line, with exit code 2."""
    install_handlers()
    try:
        app(prog_name="pipeline")
    except UserError as error:
        _end(str(error), 2)
    except ExternalError as error:
        _end(str(error), 1)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except MemoryError as error:
        _end(f"too little memory: {error}" if str(error) else "too little memory", 1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        _end(f"{error.filename or 'a file'} could not be written: {error.strerror}", 1)


def _end(line: str, code: int) -> None:
    typer.secho(f"error: {line}", err=True, fg="red")
    sys.exit(code)
