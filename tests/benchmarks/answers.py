"""Measure how the default sweep's answer depends on its seeds, and which validation figure picks better base rates.

    python -m tests.benchmarks.answers [--sets 20] [--set key=value ...]

Repeats the default sweep with disjoint sets of seeds, and counts the answers. In each set, ten tuning seeds choose the
base rates; these rates are judged by the mean test accuracy of the tuning runs of all other sets.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pipeline import datasets
from pipeline.comparison.answer import scale
from pipeline.comparison.groups import is_grid
from pipeline.report.results_folder import find
from pipeline.runs import params
from pipeline.runs.metric import Figures
from pipeline.runs.params import FIRST_SEEDS, Params, Run
from pipeline.runs.records import Record
from pipeline.runs.yaml_text import parse
from pipeline.sweep.auto import Auto
from pipeline.sweep.execution import check, score
from pipeline.sweep.pool import Workers
from tests.benchmarks.common import CORES, ROOT, console, prepared, show
from tests.sweep.sweeping import trained

APART = 100_000
"""The distance from the first seed of a set to the first seed of the next set."""


class Trainer:
    """Trains and scores runs, with ``first`` added to their seeds."""

    def __init__(self, workers: Workers, folder: Path, scratch: Path, run: Run) -> None:
        self.workers, self.folder, self.scratch = workers, folder, scratch
        self.stack_size = check(workers, folder, [run])
        self.first = 0
        self.results: list[tuple[Record, Figures]] = []
        """The records and test figures of the current set."""

    def train(self, runs: Sequence[Run]) -> list[Record]:
        of = [run.with_seed(run.seed + self.first) for run in runs]
        done = trained(self.workers, of, self.folder, self.scratch, 3600, self.stack_size)
        found = {each.record.run.name: each.record for each in done}
        records = [found[run.name] for run in of]
        if is_grid(runs):
            self.score(records)
        return records

    def score(self, records: Sequence[Record]) -> list[Figures]:
        found = score(self.workers, self.folder, self.scratch / "models", records)
        back = [record.run.with_seed(record.run.seed - self.first) for record in records]
        self.results += [
            (replace(record, run=run), each) for run, record, each in zip(back, records, found, strict=True)
        ]
        return found


def rates(sets: Sequence[Sequence[tuple[Record, Figures]]]) -> list[tuple[str, str]]:
    """Return how far each way of choosing the base rate falls short of the best rate, in points of test accuracy.

    The figures are means over sets and schedulers.
    """
    tuning = [(record, score) for one in sets for record, score in one if record.run.seed in FIRST_SEEDS]
    names = list(dict.fromkeys(record.run.scheduler for record, _ in tuning))
    lrs = list(dict.fromkeys(record.run.lr for record, _ in tuning))
    shape = (len(names), len(lrs), len(sets), len(FIRST_SEEDS))
    loss, accuracy, test = np.full((3, *shape), np.nan)
    for number, one in enumerate(sets):
        for record, figures in one:
            if record.run.seed in FIRST_SEEDS:
                at = names.index(record.run.scheduler), lrs.index(record.run.lr), number, record.run.seed
                loss[at], accuracy[at] = record.last.figures["val_loss"], record.last.val_accuracy or 0.0
                test[at] = figures.get("test_accuracy", 0.0)
    rows = []
    for seeds in (3, len(FIRST_SEEDS)):
        for title, chosen in (
            ("validation loss", loss[..., :seeds].mean(3).argmin(1)),
            ("validation accuracy", accuracy[..., :seeds].mean(3).argmax(1)),
        ):
            below = []
            for number in range(len(sets)):
                others = np.delete(test, number, axis=2).mean((2, 3))
                below.append(others.max(1) - others[np.arange(len(names)), chosen[:, number]])
            rows.append((f"{title} of {seeds} seeds", f"{100 * float(np.mean(below)):.3f} points below the best rate"))
    return rows


def main(
    sets: Annotated[int, typer.Option(min=2)] = 20,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE")] = None,
) -> None:
    given = dict(change.partition("=")[::2] for change in changes or ())
    wanted: Params = params.load(ROOT / "params.yaml", {key: parse(value, params.FILE) for key, value in given.items()})
    kinds: Counter[str] = Counter()
    good: Counter[str] = Counter()
    spent: list[int] = []
    every = []
    with prepared(wanted.run_task.dataset) as folder, Workers(CORES, "cpu") as workers:
        summary = datasets.summary(folder)
        runs = [run for run in wanted.runs(summary.examples["train"]) if run.seed == 0]
        for number in range(sets):
            with tempfile.TemporaryDirectory() as scratch:
                trainer = Trainer(workers, folder, Path(scratch), runs[0])
                trainer.first = number * APART
                how = scale(wanted.run_metric, wanted.run_margin, summary.examples["test"])
                auto = Auto(wanted.baseline, how, wanted.run_budget, trainer.train, trainer.score, lambda line: None)
                auto(runs)
            answer = find(wanted, summary, trainer.results).answer
            every.append(trainer.results)
            kinds[answer.kind] += 1
            names = [group.run.scheduler for group in answer.good_enough]
            good.update(names)
            spent.append(answer.runs)
            console.print(f"set {number + 1}: {answer.kind}, {', '.join(names)}; {answer.runs} runs", highlight=False)
    title = f"{wanted.task}: {sets} sets of seeds"
    show(f"{title}, kinds of answers", [(kind, str(count)) for kind, count in kinds.most_common()])
    show(f"{title}, how often good enough", [(name, str(count)) for name, count in good.most_common()])
    show(f"{title}, runs of the race", [("mean", f"{np.mean(spent):.0f}"), ("most", str(max(spent)))])
    if is_grid(runs):
        show(f"{title}, what chooses base rates", rates(every))


if __name__ == "__main__":
    typer.run(main)
