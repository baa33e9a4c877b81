"""Measure how often the race errs, and how many runs it saves compared with a fixed number of seeds.

    python -m tests.benchmarks.race [POOL.npz ...]

A pool contains two arrays: `names`, of shape (schedulers,), and `acc`, the test accuracies of real runs, of shape
(schedulers, seeds). Without a pool, the script trains runs of the default task at the base rate `--lr`, for `--epochs`
epochs.
"""

import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import special

from pipeline import datasets
from pipeline.comparison import calibration
from pipeline.comparison.anytime import Evidence, FloatArray
from pipeline.comparison.calibration import Design, Trial
from pipeline.comparison.standing import Rules, Standing, stand
from pipeline.datasets.digits import Digits
from pipeline.report.terminal import print_errors
from pipeline.stages.calibrate import measured
from pipeline.sweep.execution import evaluate
from pipeline.sweep.pool import Workers
from pipeline.sweep.rounds import most_seeds, outcome
from tests.benchmarks.common import CORES, console, prepared, runs, show
from tests.sweep import sweeping

FIXED = (10, 40)
"""Numbers of seeds per scheduler of the fixed designs whose error rates are measured."""
MOST = 200
"""The most seeds per scheduler of a fixed design that is compared with the race."""


class Student(Evidence):
    """Evidence from Student's t-test, which is valid only if the seeds are looked at once."""

    def __init__(self, figures: FloatArray, least: float) -> None:
        super().__init__(figures, least)
        seeds = figures.shape[1]
        differences = figures[:, None, :] - figures[None, :, :]
        self.degrees, self.means = seeds - 1, differences.mean(2)
        self.errors = np.maximum(differences.std(2, ddof=1), max(least, 1e-12)) / np.sqrt(seeds)

    def mean(self, held: NDArray[np.intp]) -> FloatArray:
        return np.asarray(self.means)

    def p(self, held: NDArray[np.intp]) -> FloatArray:
        return np.asarray(special.stdtr(self.degrees, -self.means / self.errors))

    def upper(self, held: NDArray[np.intp], level: float) -> FloatArray:
        bounds = self.means - float(special.stdtrit(self.degrees, level)) * self.errors
        np.fill_diagonal(bounds, 0.0)
        return np.asarray(bounds)


def student(figures: FloatArray, rules: Rules) -> Standing:
    arms, seeds = figures.shape
    return stand(Student(figures, rules.least), [seeds] * arms, rules)


def read(path: Path) -> tuple[list[str], FloatArray]:
    """Return the names and accuracies in a pool, without seeds for which an accuracy is missing."""
    with np.load(path) as pool:
        accuracies = np.asarray(pool["acc"], float)
        return [str(name) for name in pool["names"]], accuracies[:, np.isfinite(accuracies).all(0)]


def trained(workers: Workers, seeds: int, lr: float, epochs: int) -> tuple[list[str], FloatArray, int]:
    """Train the default task at one base rate; return the names, the accuracies and the number of test examples."""
    with prepared(Digits()) as folder, tempfile.TemporaryDirectory() as scratch:
        summary = datasets.summary(folder)
        changes = {"tasks.digits-mlp.epochs": epochs}
        of = runs("digits-mlp", summary.examples["train"], seeds=seeds, lr=lr, **changes)
        records = [done.record for done in sweeping.trained(workers, of, folder, Path(scratch))]
        evaluated = evaluate(workers, folder, Path(scratch) / "models", records)
        scores = {name: found.figures["test_accuracy"] for name, found in evaluated.items()}
    names = list(dict.fromkeys(run.group for run in of))
    figures = [[scores[run.name] for run in of if run.group == name] for name in names]
    return names, np.array(figures, float), summary.examples["test"]


def saved(figures: FloatArray, rules: Rules, budget: int, sweeps: int) -> list[tuple[str, str]]:
    """Return table rows with the number of runs of a race, and of fixed designs that find an answer as often."""
    arms = len(figures)
    case = calibration.as_they_are(figures)
    raced = calibration.measure(Trial(case, partial(outcome, budget=budget), most_seeds(arms, budget), rules, sweeps))
    random = np.random.default_rng(1)
    drawn = [case.draw(MOST, random) for _ in range(sweeps)]
    rows = [("race", f"{raced.runs:.0f} runs, {raced.answered.share:.1%} answered")]
    for name, design in (("Student's t, Holm", student), ("the test of the race", calibration.fixed)):
        seeds = fewest_seeds(raced.answered.share, drawn, design, rules)
        told = f"more than {MOST * arms}" if seeds is None else f"{seeds * arms} ({seeds} seeds of each), "
        told += "" if seeds is None else f"{seeds * arms / raced.runs:.1f} times as many"
        rows.append((f"fixed, {name}", told))
    return rows


def fewest_seeds(share: float, drawn: Sequence[FloatArray], design: Design, rules: Rules) -> int | None:
    """Return the fewest seeds with which a fixed design answers ``share`` of the sweeps; None if `MOST` are too few."""

    def answers(seeds: int) -> bool:
        return float(np.mean([design(figures[:, :seeds], rules).is_answered for figures in drawn])) >= share

    fewest = bisect_left(range(MOST + 1), True, lo=2, key=answers)
    return fewest if fewest <= MOST else None


def main(
    pools: Annotated[list[Path] | None, typer.Argument(exists=True)] = None,
    sweeps: Annotated[int, typer.Option(min=1)] = 1000,
    margin: Annotated[float, typer.Option(min=0, help="Margin of the accuracy.")] = 0.005,
    budget: Annotated[int, typer.Option(min=1, help="Most runs of a race.")] = 600,
    examples: Annotated[int, typer.Option(min=1, help="Test examples of the pools.")] = 450,
    baseline: str = "constant",
    lr: Annotated[float, typer.Option(min=0, help="Base rate of the runs to train.")] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the runs to train.")] = 12,
) -> None:
    with Workers(CORES, "cpu") as workers:
        given: Sequence[tuple[str, list[str], FloatArray, int]]
        given = [(path.stem, *read(path), examples) for path in pools or ()]
        for title, names, figures, tested in given or [
            (f"digits-mlp, {epochs} epochs at {lr:g}", *trained(workers, 60, lr, epochs))
        ]:
            rules = Rules((names.index(baseline),) * len(names), margin, 1 / tested)
            designs: dict[str, tuple[Design, int]] = {
                f"race, at most {budget} runs": (partial(outcome, budget=budget), most_seeds(len(names), budget)),
                **{f"{seeds} seeds of each": (calibration.fixed, seeds) for seeds in FIXED},
                **{f"{seeds} seeds of each, Student's t": (student, seeds) for seeds in FIXED},
            }
            found = measured(workers, names, figures, rules, [*designs.values()], sweeps)
            print_errors(console, dict(zip(designs, found, strict=True)), f"{title}: {sweeps:,} sweeps")
            show(f"{title}: runs until answered", saved(figures, rules, budget, min(sweeps, 300)))


if __name__ == "__main__":
    typer.run(main)
