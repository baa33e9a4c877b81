"""Time runs one by one and as a stack, for each kind of network; `pipeline.training.stacking` relies on the results.

The time of a step does not depend on the content of the examples, so they are noise. Everything runs in one thread.
The limits `MAX_WORK` are where stacks stop being faster; `--all` also times stacks beyond these limits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer
from rich.table import Table

from pipeline.datasets import Split, Summary
from pipeline.runs.params import Run
from pipeline.training import stacking
from pipeline.training.determinism import make_device_deterministic
from pipeline.training.loop import train
from pipeline.training.stacking import StackPlan, multiplications, stack_plan
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.benchmarks.common import alternately, console, ratios, runs

OWN = {"name": "tests.training.kinds:Residual"}


@dataclass(frozen=True)
class Row:
    """A kind of network, with the shape and number of its batches."""

    task: str
    shape: list[int]
    """The shape of an example: channels, height and width of a picture, or the number of tokens of a text."""
    batches: int
    """The number of training batches."""
    changes: dict[str, Any]

    def runs(self, count: int) -> list[Run]:
        changes = {f"tasks__{self.task}__{key}": value for key, value in {"epochs": 1, **self.changes}.items()}
        rates = [0.001 * (number + 1) for number in range(count)]
        own = {"tasks__imdb-gpt__train_subset": None}
        return runs(self.task, 10**6, scheduler="constant", seeds=1, lr=rates, **own, **changes)

    def data(self, batch_size: int) -> tuple[Summary, Split]:
        count, generator = self.batches * batch_size, torch.Generator().manual_seed(0)
        is_image = len(self.shape) == 3
        vocabulary, classes = (0, list("0123456789")) if is_image else (90, [])
        x = torch.randint(0, vocabulary or 256, (count, *self.shape), generator=generator, dtype=torch.uint8)
        y = x if vocabulary else torch.randint(0, 10, (count,), generator=generator, dtype=torch.uint8)
        return Summary(
            "noise", {}, "image" if is_image else "tokens", "", "", classes, 255, self.shape, vocabulary, {}, {}
        ), Split(x, y)


ROWS = {
    "mlp 64-32": Row("digits-mlp", [1, 8, 8], 60, {"batch_size": 32}),
    "mlp 512-256": Row("mnist-mlp", [1, 28, 28], 10, {"batch_size": 128}),
    "lenet, batch 4": Row("cifar10-lenet", [3, 32, 32], 60, {}),
    "lenet, batch 32": Row("cifar10-lenet", [3, 32, 32], 15, {"batch_size": 32}),
    "lenet, batch 128": Row("cifar10-lenet", [3, 32, 32], 5, {"batch_size": 128}),
    "cnn, batch 64": Row("mnist-cnn", [1, 28, 28], 15, {}),
    "resnet-20, batch 32": Row(
        "cifar10-lenet", [3, 32, 32], 3, {"model": {"name": "cifar-resnet", "depth": 20}, "batch_size": 32}
    ),
    "gpt, batch 8 x 64": Row("imdb-gpt", [64], 10, {}),
    "gpt, batch 2 x 16": Row("imdb-gpt", [16], 60, {"batch_size": 2}),
    "own, batch 32": Row("mnist-mlp", [1, 8, 8], 60, {"model": OWN, "batch_size": 32}),
}


def trained(row: Row, of: list[Run], device: torch.device, by: StackPlan | None) -> float:
    """Return the seconds of training in the widest stacks, leaving out each stack's first step, which is slower."""
    summary, split = row.data(of[0].workload.batch_size)
    few = Split(split.x[:2], split.y[:2])
    with patch.object(stacking, "stack_plan", (lambda *_: by) if by else stack_plan):
        most = (
            by.most
            if by
            else stack_plan(Training(of[0], summary, device), TrainingSet(split, summary, of[0].workload, device)).most
        )
        seconds = 0.0
        for start in range(0, len(of), most):
            trainings = [Training(run, summary, device) for run in of[start : start + most]]
            begun: list[float] = []
            for _ in train(trainings, split, few, lambda begun=begun: begun.append(time.perf_counter())):  # type: ignore[misc]
                pass
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds += time.perf_counter() - begun[1]
    return seconds


def main(
    count: Annotated[int, typer.Option(min=2, help="Number of runs.")] = 16,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    device: Annotated[str, typer.Option(help="A device of torch.")] = "cpu",
    beyond: Annotated[bool, typer.Option("--all", help="Make every stack that is possible.")] = False,
) -> None:
    torch.set_num_threads(1)
    make_device_deterministic(device)
    if beyond:
        stacking.MAX_WORK.update(dict.fromkeys(stacking.MAX_WORK, 2**40))
    table, place = (
        Table("network", "million products a batch", "way", "ms a run and step", "times faster"),
        torch.device(device),
    )
    for name, row in ROWS.items():
        of = row.runs(count)
        summary, split = row.data(of[0].workload.batch_size)
        first, examples = Training(of[0], summary, place), TrainingSet(split, summary, of[0].workload, place)
        chosen, work = stack_plan(first, examples), multiplications(first.network, examples)
        cells = [name, f"{work / 1e6:.2g}"]
        if chosen.kind is None:
            table.add_row(*cells, f"one by one {chosen.reason}".strip(), "", "")
            continue
        timed: dict[str, Callable[[], float]] = {
            "one by one": partial(trained, row, of, place, StackPlan()),
            "together": partial(trained, row, of, place, None),
        }
        found = alternately(rounds, timed)
        best = min(found["together"]) / count / (row.batches - 1) * 1e3
        cells += [f"{chosen.kind}, {chosen.most} wide", f"{best:.2f}"]
        table.add_row(*cells, ratios(found["one by one"], found["together"]))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
