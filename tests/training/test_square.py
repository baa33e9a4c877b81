"""The smallest task, on nine points: figures that can be checked by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline import data
from pipeline.training.loop import Training
from tests.conftest import load

CPU = torch.device("cpu")


@pytest.mark.parametrize(("scheduler", "figure"), [("cosine", 0.0025), ("exponential", 0.0035), ("constant", 0.0024)])
def test_square_mlp_from_the_same_weights(scheduler: str, figure: float, tmp_path: Path) -> None:
    """Seed 25: the sum of squared errors over the nine points, as an independent run of the recipe has it."""
    summary = data.prepare({"name": "square"}, tmp_path, tmp_path)
    run = load(task="square-mlp", scheduler=scheduler, seeds=[25]).runs(10)[0]
    each = Training(run, summary, CPU)
    *_, last = each.epochs(data.read(tmp_path, "train"), data.read(tmp_path, "val"))
    assert last.epoch == 2000
    assert last.val_loss == pytest.approx(figure, rel=0.025)


def test_one_batch_of_the_summed_loss_is_the_sum_of_ten_gradients(tmp_path: Path) -> None:
    summary = data.prepare({"name": "square"}, tmp_path, tmp_path)
    train = data.read(tmp_path, "train")
    run = load(task="square-mlp", scheduler="constant", seeds=[25]).runs(10)[0]
    each = Training(run, summary, CPU)
    for x, y in zip(train.x, train.y, strict=True):
        torch.square(each.model(x[None])[0, 0] - y).backward()  # type: ignore[no-untyped-call]  # as the source does; its gradients add up
    summed = [weight.grad.clone() for weight in each.model.parameters()]  # type: ignore[union-attr]
    first = Training(replace(run, epochs=1), summary, CPU)
    next(first.epochs(train, data.read(tmp_path, "val")))
    for ours, theirs in zip(first.model.parameters(), summed, strict=True):
        assert torch.allclose(ours.grad, theirs, rtol=1e-4, atol=1e-7)  # type: ignore[arg-type]


def test_a_dead_run_stops_and_is_recorded_as_dead(tmp_path: Path) -> None:
    summary = data.prepare({"name": "square"}, tmp_path, tmp_path)
    train, val = data.read(tmp_path, "train"), data.read(tmp_path, "val")
    for scheduler in ("constant", "plateau"):
        runs = load(task="square-mlp", scheduler=scheduler, seeds=20).runs(10)
        trainings = [Training(run, summary, CPU) for run in runs]
        dead = next(each for each in trainings if each.dead(val))
        before = [weight.clone() for weight in dead.model.parameters()]
        epochs = list(dead.epochs(train, val))
        assert len(epochs) == 1
        assert epochs[0].val_loss == pytest.approx(1.983, abs=5e-4)
        assert all(torch.equal(*pair) for pair in zip(before, dead.model.parameters(), strict=True))


def test_figures_are_recorded_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    summary = data.prepare({"name": "square"}, tmp_path, tmp_path)
    train, val = data.read(tmp_path, "train"), data.read(tmp_path, "val")
    curves = {}
    for every in (1, 10):
        changes = {"tasks__square-mlp__epochs": 37, "tasks__square-mlp__record_every": every}
        for run in load(task="square-mlp", scheduler=["cosine", "plateau"], seeds=[25], **changes).runs(10):
            curves[run.scheduler, every] = list(Training(run, summary, CPU).epochs(train, val))
    for scheduler in ("cosine", "plateau"):
        assert len(curves[scheduler, 1]) == 37
        assert curves[scheduler, 10] == [curves[scheduler, 1][epoch - 1] for epoch in (10, 20, 30, 37)]
