"""The command-line interface. Slow modules are imported inside the commands, so that --help stays fast.

The commands `cache`, `ui` and `schedules` are in `looking`, and options that several commands share are in `options`.
"""

import errno
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pipeline.cli import looking
from pipeline.cli.options import CheckpointEvery, Cluster, Device, Jobs, TaskName, TrackEvery, console, names
from pipeline.errors import ExternalError, UserError, plural
from pipeline.shutdown import install_handlers

app = typer.Typer(
    name="pipeline",
    help="Train the same model under every learning-rate scheduler and compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
WRITE_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM),
    *(errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG),
)
"""Error numbers that mean that the disk is full or that a path cannot be written to.

An OSError with any other number is treated as a bug in the pipeline.
"""


@app.command()
def plan() -> None:
    """Check params.yaml, and write digests of your own files and code, which DVC cannot see."""
    from pipeline.runs import params
    from pipeline.stages import plan

    wanted = params.load()
    plan.plan(wanted)
    typer.echo(f"{len(wanted.runs())} runs of {wanted.task}")


@app.command()
def download() -> None:
    """Get the task's data, and prepare them in data/."""
    from pipeline.runs import params
    from pipeline.stages import download

    summary = download.download(params.load(), typer.echo)
    sizes = [f"{count:,} {split}" for split, count in summary.examples.items()]
    if summary.classes:
        sizes[-1] += f"; {len(summary.classes)} classes"
    typer.echo(f"{summary.dataset}: {', '.join(sizes)}, SHA-256 {summary.digest[:12]}")


@app.command()
def train(
    jobs: Jobs = None,
    device: Device = "auto",
    cluster: Cluster = None,
    checkpoint_every: CheckpointEvery = 5.0,
    track_every: TrackEvery = 5.0,
) -> None:
    """Train every run of the sweep that params.yaml asks for."""
    from pipeline.runs import params
    from pipeline.stages import train
    from pipeline.stages.common import Machine

    begun = time.monotonic()
    machine = Machine(jobs, device, cluster)
    trained = train.train(params.load(), console(), machine, checkpoint_every, track_every)
    seconds, processes = time.monotonic() - begun, min(machine.cores, len(trained))
    where = "on the cluster"
    if cluster is None:
        overhead = max(0.0, 1 - sum(done.seconds for done in trained) / processes / seconds)
        where = f"with {plural(processes, 'process', 'es')} (overhead {overhead:.0%})"
    origins = Counter(done.origin for done in trained)
    outcomes = Counter(done.record.outcome for done in trained)
    resumed = f", {origins['resumed']} of them from a checkpoint," if origins["resumed"] else ""
    typer.echo(
        f"trained {len(trained) - origins['cached']} runs{resumed} and took {origins['cached']} from the cache, "
        f"{outcomes['diverged']} diverged, {outcomes['dead']} dead, "
        f"in {seconds:.1f} s {where}"
    )


@app.command()
def evaluate(jobs: Jobs = None, device: Device = "auto", cluster: Cluster = None) -> None:
    """Score every trained run on the test set, write results/, and publish the recommended model in MLflow."""
    from pipeline.runs import params
    from pipeline.stages import evaluate
    from pipeline.stages.common import Machine

    evaluate.evaluate(params.load(), console(), Machine(jobs, device, cluster))


@app.command()
def track(
    all_models: Annotated[
        bool, typer.Option("--all-models", help="Also publish the best run of each other scheduler as a model.")
    ] = False,
    jobs: Jobs = None,
    device: Device = "auto",
    cluster: Cluster = None,
) -> None:
    """Log any part of the trained sweep that is missing from MLflow, for example because its store was down."""
    from pipeline.runs import params
    from pipeline.stages import evaluate
    from pipeline.stages.common import Machine

    typer.echo(evaluate.track(params.load(), console(), Machine(jobs, device, cluster), all_models))


@app.command()
def calibrate(
    sweeps: Annotated[
        int, typer.Option(min=1, help="Sweeps of each kind; a quarter as many for copies of one scheduler.")
    ] = 1000,
    seeds: Annotated[int, typer.Option(min=2, max=100, help="Seeds of each scheduler if they are fixed.")] = 10,
    pool: Annotated[int, typer.Option(min=2, max=10_000, help="Real runs of each scheduler to draw from.")] = 60,
    jobs: Jobs = None,
    device: Device = "auto",
    cluster: Cluster = None,
) -> None:
    """Simulate sweeps whose true answer is known, and measure how often the verdict is wrong."""
    from pipeline.runs import params
    from pipeline.stages import calibrate
    from pipeline.stages.common import Machine

    calibrate.calibrate(params.load(), console(), Machine(jobs, device, cluster), sweeps, seeds, pool)


for command in (looking.cache, looking.ui, looking.schedules):
    app.command()(command)


@app.command()
def export(
    scheduler: Annotated[
        str | None, typer.Argument(autocompletion=names("schedulers"), show_default="the recommended one")
    ] = None,
    to: Annotated[
        str, typer.Option(metavar="LIBRARY", help="torch, transformers, lightning or timm.", show_default=True)
    ] = "torch",
    task: TaskName = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Your number of epochs.", show_default="the task's")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(min=1, help="Your optimizer steps per epoch.", show_default="the task's")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Your base rate.", show_default="the one that was compared")] = None,
    interval: Annotated[
        str | None, typer.Option(help="Step after each epoch or batch.", show_default="as it was compared")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="print it")] = None,
) -> None:
    """Print a scheduler as code to paste into another project, with its verdict in a comment."""
    from pipeline.files import write_text
    from pipeline.stages import export

    code = export.export(scheduler, to, task, epochs, steps_per_epoch, lr, interval)
    if out is None:
        typer.echo(code, nl=False)
        return
    write_text(out, code)
    typer.echo(f"written to {out}")


@app.command("find-lr")
def find_lr(
    task: TaskName = None,
    optimizer: Annotated[
        list[str] | None,
        typer.Option(help="An optimizer; repeat the option for more.", autocompletion=names("optimizers")),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds of each test.")] = 3,
    png: Annotated[Path | None, typer.Option(help="The picture's file.", show_default="results/find_lr.png")] = None,
    jobs: Jobs = None,
    device: Device = "auto",
    cluster: Cluster = None,
) -> None:
    """Find base rates to try: raise the rate after each batch, and note where the loss falls and where it rises."""
    from pipeline.stages import find_lr
    from pipeline.stages.common import Machine

    target = find_lr.find_lr(console(), Machine(jobs, device, cluster), task, optimizer or [], seeds, png)
    typer.echo(f"drawn in {target}")


def main() -> None:
    """Run the user's command. If the user made a mistake, report it in one line and exit with code 2."""
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
        if error.errno not in WRITE_ERRORS:
            raise
        _end(f"{error.filename or 'a file'} could not be written: {error.strerror}", 1)


def _end(line: str, code: int) -> NoReturn:
    typer.secho(f"error: {line}", err=True, fg="red")
    sys.exit(code)
