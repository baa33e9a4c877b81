"""A sweep with `seeds: auto` and made-up figures: which runs are trained, and in what order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.comparison.questions import Scale
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import TEST_ACCURACY, Figures, network_figures
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.sweep.auto import Auto
from tests.helpers.project import load

MEANS = {"constant": 0.90, "step": 0.93, "cosine": 0.9285, "rex": 0.91}
BEST_RATES = {"constant": 0.1, "step": 0.2, "cosine": 0.1, "rex": 0.2}


@dataclass
class Trainer:
    """Makes up records; each scheduler has a mean accuracy, and a rate at which it validates best."""

    budget: int
    trained: list[list[str]] = field(default_factory=list)
    """For each call of `train`, the names of the runs."""
    told: list[str] = field(default_factory=list)

    def train(self, runs: Sequence[Run]) -> list[Record]:
        self.trained.append([run.name for run in runs])
        return [
            Record(run, "finished", [Epoch.of_network(1, run.lr, 0.5, self._loss(run), 0.5)], "cpu", "2", "f")
            for run in runs
        ]

    def _loss(self, run: Run) -> float:
        return 0.1 + abs(run.lr - BEST_RATES[run.scheduler])

    def score(self, trained: Sequence[Record]) -> list[Figures]:
        scores = []
        for record in trained:
            random = np.random.default_rng([*record.run.scheduler.encode(), record.run.seed])
            common = np.random.default_rng(record.run.seed).normal(0, 0.01)
            scores.append(network_figures(0.5, MEANS[record.run.scheduler] + common + random.normal(0, 0.008)))
        return scores

    def sweep(self, **changes: object) -> list[Record]:
        runs = load(scheduler=list(MEANS), seeds=1, **changes).runs()
        scale = Scale(TEST_ACCURACY, 0.005, 1 / 450)
        return Auto("constant", scale, self.budget, self.train, self.score, self.told.append)(runs)


def test_rates_are_chosen_on_ten_seeds_and_the_race_runs_on_fresh_ones() -> None:
    trainer = Trainer(budget=200)
    records = trainer.sweep(lr=[0.1, 0.2])
    tuning, first, *_ = trainer.trained
    assert len(tuning) == 4 * 2 * 10
    assert tuning[:3] == ["constant-lr0.1-s0", "constant-lr0.2-s0", "step-lr0.1-s0"]
    assert len(first) == 4 * 10
    assert first[:4] == ["constant-lr0.1-s10", "step-lr0.2-s10", "cosine-lr0.1-s10", "rex-lr0.2-s10"]
    assert len(records) == sum(map(len, trainer.trained))
    assert trainer.told[-1].endswith("; answered")


def test_without_a_grid_there_is_only_the_race() -> None:
    trainer = Trainer(budget=200)
    trainer.sweep(lr=0.1)
    assert trainer.trained[0][:4] == [f"{name}-s0" for name in MEANS]


def test_arms_that_cannot_change_the_answer_get_no_more_seeds() -> None:
    trainer = Trainer(budget=400)
    trainer.sweep(lr=0.1)
    later = {name.rpartition("-")[0] for names in trainer.trained[1:] for name in names}
    assert later
    assert "rex" not in later


def test_no_run_is_trained_twice_and_the_budget_is_kept() -> None:
    trainer = Trainer(budget=50)
    trainer.sweep(lr=0.1)
    names = [name for names in trainer.trained for name in names]
    assert len(names) == len(set(names)) <= 50
    assert trainer.told[-1].endswith("; the budget is spent")


def test_a_larger_budget_continues_a_smaller_one() -> None:
    small, large = Trainer(budget=62), Trainer(budget=400)
    small.sweep(lr=0.1)
    large.sweep(lr=0.1)
    assert len(large.trained) > len(small.trained) > 1
    assert large.trained[: len(small.trained)] == small.trained


@pytest.mark.parametrize("budget", [8, 39])
def test_a_budget_below_ten_seeds_each_gives_fewer_seeds(budget: int) -> None:
    trainer = Trainer(budget=budget)
    records = trainer.sweep(lr=0.1)
    assert len(trainer.trained) == 1
    assert len(records) == budget // 4 * 4


def test_one_scheduler_gets_ten_seeds() -> None:
    trainer = Trainer(budget=200)
    runs = load(scheduler="step", seeds=1, lr=0.1).runs()
    Auto("constant", Scale(TEST_ACCURACY, 0.005), 200, trainer.train, trainer.score, trainer.told.append)(runs)
    assert [len(names) for names in trainer.trained] == [10]
