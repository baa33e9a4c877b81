"""A range test trains a run, using the next rate for each batch."""

import math
from typing import Any

import pytest
import torch

from pipeline.datasets import Summary
from pipeline.losses import LOSSES
from pipeline.training.range_test import range_test
from pipeline.training.state import Training
from tests.training.fitting import CPU, Splits, equal, runs

RISING = [1e-4 * 1.2**step for step in range(40)]
"""Rates for a test that is longer than an epoch of the digits, which has 34 batches."""


def trainings(summary: Summary, seeds: int = 1, **changes: Any) -> list[Training]:
    return [Training(run, summary, CPU) for run in runs(scheduler="constant", seeds=seeds, **changes)]


def test_each_batch_has_its_own_rate(summary: Summary, splits: Splits) -> None:
    """The losses are those of a hand-written loop of plain SGD."""
    plain: dict[str, Any] = {"optimizers__sgd__momentum": 0.0}
    (tested,), (by_hand,) = trainings(summary, **plain), trainings(summary, **plain)
    (found,) = range_test([tested], splits[0], RISING)
    order, losses, batches = torch.Generator().manual_seed(0), list[float](), list[torch.Tensor]()
    while len(batches) <= len(RISING):  # each epoch has another order
        batches += torch.split(torch.randperm(1077, generator=order), 32)
    weights = list(by_hand.network.parameters())
    for batch, rate in zip(batches, [*RISING, 0.0], strict=False):
        output = by_hand.network(splits[0].x[batch] / summary.white)
        loss = LOSSES["cross-entropy"].of(output, splits[0].y[batch])
        losses.append(loss.item())
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.data -= rate * gradient
    assert found == pytest.approx(losses, rel=1e-4)
    assert len(found) == 1 + len(RISING)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_a_seed_does_not_depend_on_other_seeds_in_the_stack(optimizer: str, summary: Summary, splits: Splits) -> None:
    together = range_test(trainings(summary, 3, optimizer=optimizer), splits[0], RISING)
    alone = [range_test([each], splits[0], RISING)[0] for each in trainings(summary, 3, optimizer=optimizer)]
    assert together == alone
    assert len({losses[0] for losses in together}) == 3


def test_the_rest_of_muon_keeps_its_own_rate(summary: Summary, splits: Splits) -> None:
    for own, expected in ((0.003, [0.003] * 3), (None, [1e-4, 1e-3, 1e-2])):
        rest = {"class": "SGD", "lr": own}
        (tested,) = trainings(summary, optimizers__mine={"class": "Muon", "rest": rest}, optimizer="mine")
        rates: list[list[float]] = []
        tested.optimizer.register_step_pre_hook(
            lambda used, *_, rates=rates: rates.append([group["lr"] for group in used.param_groups])
        )
        range_test([tested], splits[0], [1e-4, 1e-3, 1e-2])
        assert [muon for muon, _ in rates] == [1e-4, 1e-3, 1e-2]
        assert [other for _, other in rates] == expected


def test_a_range_test_starts_with_the_weights_of_a_run(summary: Summary, splits: Splits) -> None:
    (tested,), (untouched,) = trainings(summary), trainings(summary)
    range_test([tested], splits[0], [0.0, 0.0])
    assert equal(tested.network.state_dict(), untouched.network.state_dict())


def test_a_range_test_ends_when_all_seeds_have_diverged(summary: Summary, splits: Splits) -> None:
    for losses in range_test(trainings(summary, 2), splits[0], [1e30] * 10):
        assert len(losses) == 11
        assert math.isfinite(losses[0])
        assert all(not math.isfinite(loss) for loss in losses[2:])


def test_a_summed_loss_is_divided_by_the_examples(squares: tuple[Summary, Splits]) -> None:
    summary, (train, _) = squares
    changes = {"task": "square-mlp", "tasks__square-mlp__batch_size": 6, "lr": 0.1}
    (run,) = runs(scheduler="constant", seeds=1, examples=10, **changes)
    training = Training(run, summary, CPU)
    with torch.no_grad():
        each = (training.network(train.x).squeeze(1) - train.y) ** 2
    (losses,) = range_test([training], train, [0.0] * 3)
    six, four, *_ = losses  # an epoch has two batches
    assert (6 * six + 4 * four) / 10 == pytest.approx(each.mean().item(), rel=1e-5)
