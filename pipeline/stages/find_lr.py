"""Find the range of learning rates in which training is stable."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline.comparison import stability
from pipeline.errors import UserError
from pipeline.runs import params
from pipeline.stages.common import DATA, Machine, picture, prepared_data, warn
from pipeline.sweep.execution import check
from pipeline.sweep.lr_range import RangeJob, range_tests

if TYPE_CHECKING:
    from pipeline.runs.params import Params


def find_lr(
    console: Console,
    machine: Machine,
    task: str | None = None,
    optimizers: Sequence[str] = (),
    seeds: int = len(stability.SEEDS),
    png: Path | None = None,
) -> Path:
    """Run a range test for each optimizer, print the results and the base rates to try, and draw the tests.

    The only output file is the picture of the tests.

    Args:
        console: prints the results.
        machine: where to train.
        task: name of the task; by default, the task in params.yaml.
        optimizers: names of the optimizers; by default, the optimizers in params.yaml or the task's own.
        seeds: number of seeds of each test.
        png: the picture's file; by default, results/find_lr.png.

    Returns:
        The path of the picture.

    Raises:
        UserError: a name is unknown, the task's data are not prepared, or the picture is neither a PNG nor an SVG.
    """
    from pipeline.report.advice import unstable
    from pipeline.report.range_plot import draw
    from pipeline.report.style import save
    from pipeline.report.terminal import print_readings

    target = picture(png, "find_lr.png")
    written = params.load()
    wanted = _with(written, task, optimizers)
    try:
        prepared = prepared_data(wanted)
    except UserError as error:
        if wanted.task == written.task:
            raise
        raise UserError(f"{error}, with `task: {wanted.task}` in {params.FILE}") from None
    runs = wanted.runs(prepared.examples["train"])
    tested = len({run.optimizer for run in runs})
    if rateless := [run for run in runs if not run.workload.optimizer.follows_rate]:
        kind = rateless[0].workload.optimizer.class_
        raise UserError(
            f"optimizer {rateless[0].optimizer}: {kind} uses the rate only for its first step; test another"
        )
    with (
        machine.workers(tested * seeds, runs, console) as workers,
        console.status("testing the range of learning rates"),
    ):
        stack_size = check(workers, DATA, runs, partial(warn, console))
        job = RangeJob(DATA, tuple(stability.rates()), threads=machine.threads(workers))
        tests = range_tests(workers, job, runs, stack_size, range(seeds))
    readings = {test.optimizer: reading for test in tests if (reading := stability.read(test)) is not None}
    changes = "" if wanted.task == written.task else f"-S task={wanted.task} "
    own = {run.optimizer for run in _with(written, task, ()).runs()}
    chosen = {name: changes if own == {name} else f"{changes}-S optimizer={name} " for name in readings}
    print_readings(console, tests, readings, chosen)
    for line in unstable(runs, stability.stable(tests, runs[0].epochs * runs[0].batches)):
        warn(console, line.partition(" `")[0])
    save(draw(tests, readings, f"{wanted.task}: loss over rising learning rates"), target)
    return target


def _with(written: "Params", task: str | None, optimizers: Sequence[str]) -> "Params":
    """Return the params with another task (and its own optimizers and rates), with other optimizers, or with both."""
    changes: dict[str, Any] = {}
    if task is not None and task != written.task:
        changes |= {"task": task, "optimizer": None, "lr": None}
    if optimizers:
        # The schedulers in params.yaml may not work with these optimizers.
        changes |= {"optimizer": list(optimizers), "scheduler": "all"}
    return params.load(changes=changes)
