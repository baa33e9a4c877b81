"""The findings of made-up sweeps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.comparison.answer import Findings, scale
from pipeline.datasets import Summary
from pipeline.report.results_folder import find
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import Figures, network_figures
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.sweep.auto import Auto
from pipeline.training.layer_statistics import Layer, Weights
from tests.comparison.examples import results
from tests.helpers.project import load

SUMMARY = Summary("digits", {}, "image", "", "", [], 16, [1, 8, 8], 0, {"train": 1257, "val": 90, "test": 450}, {})
WEIGHTS = Weights(0.0, 1.0, 2.0, 3.0, 0.0, [1] * 40)
LAYERS = [Layer("layers.1.weight", (4, 4), -1.0, 1.0, WEIGHTS, WEIGHTS)]
TASK = {"tasks__digits-mlp__lr": 0.15, "tasks__digits-mlp__epochs": 3}


def fixed(accuracies: Mapping[str, Sequence[float]], lost: int = 0, dead: int = 0, **changes: Any) -> Findings:
    """Return the findings of a sweep with fixed seeds.

    Args:
        accuracies: maps each scheduler to its accuracies, one for each seed; a loss is 1 minus the accuracy.
        lost: the number of runs that diverged, counted from the first run.
        dead: the number of runs that died, counted after the diverged runs.
        changes: keyword arguments for `load`.
    """
    found = results({name: [*values] for name, values in accuracies.items()}, **changes)
    for number in range(lost + dead):
        record, score = found[number]
        if number < lost:
            epochs = [Epoch.of_network(1, 0.1, math.nan, math.nan, 0.1)]
            found[number] = replace(record, outcome="diverged", epochs=epochs), network_figures(math.nan, 0.1)
        else:
            found[number] = replace(record, outcome="dead"), score
    seeds = len(next(iter(accuracies.values())))
    params = load(**TASK | {"scheduler": list(accuracies), "seeds": seeds} | changes)
    return find(params, SUMMARY, found)


def raced(means: Mapping[str, float], deviation: float = 0.005, **changes: Any) -> Findings:
    """Return the findings of a sweep with `seeds: auto`, whose accuracies are normally distributed.

    At base rates above 0.15, accuracies are a point lower.

    Args:
        means: maps each scheduler to its true mean accuracy.
        deviation: the standard deviation of a run's accuracy.
        changes: keyword arguments for `load`.
    """
    params = load(**TASK | {"scheduler": list(means), "seeds": "auto"} | changes)
    scores: dict[str, Figures] = {}

    def train(runs: Sequence[Run]) -> list[Record]:
        records = []
        for run in runs:
            noise = np.random.default_rng([run.seed, list(means).index(run.scheduler)]).normal(0, deviation)
            accuracy = means[run.scheduler] + float(noise) - 0.01 * (run.lr > 0.15)
            scores[run.name] = network_figures(1 - accuracy, accuracy)
            records.append(
                Record(run, "finished", [Epoch.of_network(1, run.lr, 0.5, 1 - accuracy, accuracy)], "cpu", "2", "f")
            )
        return records

    auto = Auto(
        baseline=params.baseline,
        scale=scale(params.run_metric, params.run_margin, SUMMARY.examples["test"]),
        budget=params.run_budget,
        train=train,
        score=lambda records: [scores[record.run.name] for record in records],
        tell=lambda line: None,
    )
    records = auto([run for run in params.runs() if run.seed == 0])
    return find(params, SUMMARY, [(record, scores[record.run.name]) for record in records])


def layers(findings: Findings) -> list[tuple[Record, list[Layer]]]:
    """Return the record of every run together with statistics of its layers."""
    return [(record, LAYERS) for group in findings.sweep.groups for record in group.records]


def twelve(mean: float, shift: int = 0) -> list[float]:
    """Return twelve accuracies whose mean is ``mean``; ``shift`` changes their order."""
    return [mean + 0.001 * ((5 * seed + shift) % 12 - 5.5) for seed in range(12)]
