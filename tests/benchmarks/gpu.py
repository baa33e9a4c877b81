"""Check that training on a GPU keeps its promises, and then measure times: `python -m tests.benchmarks.gpu`.

A run must have the same bits in stacks of any size and order, with or without CUDA graphs, and after resuming from a
checkpoint. Its results must agree with the CPU's up to rounding. For each of four tasks, 1, 8, 64 and 256 runs are
timed. The table shows their time relative to one run, their share of the device's rate of matrix products, and the
share of the time that the GPU waits. The data are noise, because the times do not depend on the data. To try out the
script without a GPU, use `--device cpu`.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer
from rich.table import Table

from pipeline.datasets import Split, Summary
from pipeline.runs.params import Run
from pipeline.training import graphs, stacking
from pipeline.training.determinism import make_device_deterministic
from pipeline.training.loop import train
from pipeline.training.stacking import StackPlan, multiplications, stack_plan
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.benchmarks.common import console
from tests.benchmarks.mnist_mlp import watched
from tests.benchmarks.stacks import ROWS, trained
from tests.training.kinds import KINDS, Kind

TIMED = {"mnist-mlp": "mlp 512-256", "cifar10-lenet": "lenet, batch 4", "mnist-cnn": "cnn, batch 64"}
TIMED |= {"imdb-gpt": "gpt, batch 8 x 64"}
SCHEDULERS = ["constant", "onecycle", "ema", "swa", "schedule-free"]
Bits = dict[str, list[torch.Tensor]]


def outcome(of: Sequence[Run], kind: Kind, device: torch.device, stop: int = -1) -> Bits:
    """Train runs in the widest stacks, stopping and resuming after batch ``stop``; return their losses and weights."""
    summary, splits = kind.summary, kind.splits
    runs = [Training(run, summary, device) for run in of]
    most = stack_plan(runs[0], TrainingSet(splits[0], summary, of[0].workload, device)).most
    found: Bits = {}
    for start in range(0, len(runs), most):
        part = runs[start : start + most]
        seen = iter(range(10**9))

        def save(part: list[Training] = part, seen: Any = seen) -> None:
            if next(seen) == stop:
                raise _StoppedError([each.state_dict() for each in part])

        try:
            for _ in train(part, *splits, save):
                pass
        except _StoppedError as stopped:
            part = [Training(each.run, summary, device) for each in part]
            for each, state in zip(part, stopped.states, strict=True):
                each.load_state_dict(deepcopy(state))
            for _ in train(part, *splits):
                pass
        for each in part:
            losses = torch.tensor([[epoch.train_loss, epoch.val_loss] for epoch in each.recorded], dtype=torch.float64)
            weights = each.evaluated.network.state_dict().values()
            found[each.run.name] = [losses, *(weight.detach().cpu().clone() for weight in weights)]
    return found


class _StoppedError(Exception):
    def __init__(self, states: list[dict[str, Any]]) -> None:
        super().__init__()
        self.states = states


def same(one: Bits, other: Bits) -> bool:
    return all(all(map(torch.equal, one[name], other[name])) for name in other)


def near(one: Bits, other: Bits) -> bool:
    pairs = [pair for name in other for pair in zip(one[name], other[name], strict=True)]
    return all(torch.allclose(a.double(), b.double(), rtol=0.01, atol=0.01) for a, b in pairs)


def check(name: str, kind: Kind, device: torch.device) -> list[tuple[str, bool]]:
    """Check all promises for one kind of network; return the promises, and whether each was kept."""
    averages = {"schedulers__ema__average__decay": 0.5, "schedulers__swa__start": 1}
    of = kind.runs(scheduler=SCHEDULERS, clip_grad_norm=0.5, lr=0.02, epochs=4, **averages)
    whole = outcome(of, kind, device)
    found = [(f"{name}: alone", all(same(whole, outcome([run], kind, device)) for run in of[:2]))]
    found.append((f"{name}: in twos, in another order", same(whole, outcome(of[::-1][:2], kind, device))))
    found.append((f"{name}: from a checkpoint", same(whole, outcome(of, kind, device, stop=7))))
    with patch.object(graphs, "WARM_UP", 10**9):
        found.append((f"{name}: call by call", same(whole, outcome(of, kind, device))))
    plain = [run for run in of if run.scheduler == "constant"]
    with patch.object(stacking, "stack_plan", lambda *_: StackPlan()):
        expected = outcome_alone(plain, kind)
    found.append((f"{name}: on the CPU, to rounding", "drop" in str(kind.model) or near(whole, expected)))
    return found


def outcome_alone(of: Sequence[Run], kind: Kind) -> Bits:
    """Train runs on the CPU, one by one; return their losses and weights."""
    with patch(f"{__name__}.stack_plan", lambda *_: StackPlan()):
        return outcome(of, kind, torch.device("cpu"))


def product_rate(device: torch.device) -> float:
    """Return the GFLOP/s of the device's matrix products in float32."""
    a, b = torch.rand(4096, 4096, device=device), torch.rand(4096, 4096, device=device)
    rounds = 50 if device.type == "cuda" else 1
    seconds = timed(lambda: [a @ b for _ in range(rounds)], device)
    return rounds * 2 * 4096**3 / seconds / 1e9


def timed(do: Callable[[], Any], device: torch.device) -> float:
    do()
    begun = time.perf_counter()
    do()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def measure(task: str, counts: Sequence[int], device: torch.device, rate: float, table: Table) -> None:
    row = ROWS[TIMED[task]]
    first: float | None = None
    for count in counts:
        of = row.runs(count)
        with watched() as busy:
            seconds = min(trained(row, of, device, None) for _ in range(2)) / (row.batches - 1)
        first = first or seconds
        one: tuple[Summary, Split] = row.data(of[0].workload.batch_size)
        run = Training(of[0], one[0], device)
        work = 6.0 * multiplications(run.network, TrainingSet(one[1], one[0], of[0].workload, device)) * count
        waits = f"{1 - statistics.mean(busy):.0%}" if busy else ""
        share = f"{work / seconds / 1e9 / rate:.1%}"
        table.add_row(task, str(count), f"{seconds * 1e3:.3f}", f"{seconds / first:.2f}", share, waits)


def main(
    device: Annotated[str, typer.Option(help="A device of torch.")] = "cuda",
    counts: Annotated[list[int], typer.Option(help="Numbers of runs.")] = [1, 8, 64, 256],  # noqa: B006
    check_only: Annotated[bool, typer.Option("--check", help="Measure no times.")] = False,
) -> None:
    place = torch.device(device)
    make_device_deterministic(place.type)
    torch.set_num_threads(1)
    with patch.object(stacking, "MAX_WORK", {"convolution": 2**23, "mapped": 2**40}):
        results = [each for name, kind in KINDS.items() for each in check(name, kind, place)]
    for told, passed in results:
        console.print(f"{'passed' if passed else 'FAILED'}  {told}", highlight=False)
    if not check_only:
        rate = product_rate(place)
        console.print(f"the device's own matrix products: {rate:.3g} GFLOP/s", highlight=False)
        table = Table("task", "runs", "ms a step", "times one run", "share of products", "GPU waits")
        for task in TIMED:
            measure(task, counts, place, rate, table)
        console.print(table)
    raise typer.Exit(0 if all(passed for _, passed in results) else 1)


if __name__ == "__main__":
    typer.run(main)
