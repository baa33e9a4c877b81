"""Averages of the weights equal torch's after every step; also tested are resuming, batch norm and dead runs."""

from copy import deepcopy
from typing import Any

import pytest
import schedulefree
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from pipeline.datasets import Summary
from pipeline.errors import UserError
from pipeline.runs.params import Run
from pipeline.training.averaging import gather_statistics
from pipeline.training.building import build_network
from pipeline.training.evaluation import score
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet, draw_batches
from tests.helpers.project import load
from tests.training.fitting import CPU, Splits, equal, fit

PLAIN, DROPS = ({"name": f"tests.training.fitting:{name}"} for name in ("Alone", "drops"))
EPOCHS = 4


def of(scheduler: str, model: Any = PLAIN, **changes: Any) -> Run:
    task = {"tasks__digits-mlp__epochs": EPOCHS, "tasks__digits-mlp__model": model}
    return load(scheduler=scheduler, seeds=1, **task, **changes).runs(200)[0]


def by_hand(run: Run, summary: Summary, few: Splits) -> Any:
    """Train in a plain loop; after each step, yield the network and, after an epoch's last step, the epoch's number."""
    torch.manual_seed(run.seed)
    network = build_network(run.workload, summary)
    optimizer = run.workload.optimizer.build(network, run.lr)
    order = torch.Generator().manual_seed(run.seed)
    for epoch in range(1, EPOCHS + 1):
        drawn = draw_batches(len(few[0]), run.workload.batch_size, order)
        for number, batch in enumerate(drawn):
            optimizer.zero_grad()
            outputs = network(few[0].x[batch] / summary.white)
            torch.nn.functional.cross_entropy(outputs, few[0].y[batch].long()).backward()
            optimizer.step()
            yield network, epoch if number == len(drawn) - 1 else None


AVERAGES: dict[str, dict[str, Any]] = {
    "ema": {"kind": "ema", "decay": 0.9},
    "swa": {"kind": "swa", "start": 2},
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_after_every_step_the_average_equals_torchs_in_a_plain_loop(kind: str, summary: Summary, few: Splits) -> None:
    run = of("constant", schedulers__constant__average=AVERAGES[kind])
    training, found = Training(run, summary, CPU), []

    def note() -> None:
        found.append(deepcopy(training.evaluated.network.state_dict()))

    epochs = fit(training, few, note)
    note()
    average, expected = None, []
    for network, ended in by_hand(run, summary, few):
        if average is None:
            average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.9) if kind == "ema" else None)
        if kind == "ema" or (ended is not None and ended >= 2):
            average.update_parameters(network)
        has_begun = kind == "ema" or average.n_averaged > 0
        expected.append(deepcopy((average.module if has_begun else network).state_dict()))
    assert len(found) == 1 + len(expected) == 1 + EPOCHS * 7
    for ours, torchs in zip(found[1:], expected, strict=True):
        assert equal(ours, torchs)
    assert average is not None
    assert epochs[-1].val_loss == score(average.module, few[1], summary, run.workload, CPU)[0]
    assert not equal(found[-1], training.network.state_dict())


def test_swa_is_the_mean_of_the_weights_from_start_on(summary: Summary, few: Splits) -> None:
    run = of("constant", schedulers__constant__average=AVERAGES["swa"])
    training = Training(run, summary, CPU)
    fit(training, few)
    after = [deepcopy(network).state_dict() for network, ended in by_hand(run, summary, few) if ended]
    for name, weights in training.evaluated.network.state_dict().items():
        assert torch.allclose(weights, torch.stack([each[name] for each in after[1:]]).mean(0), atol=1e-7)


def test_schedule_free_equals_the_package_in_a_plain_loop(summary: Summary, few: Splits) -> None:
    """The loop uses the package's warm-up and, because of a momentum of 0.9, ten times the base rate."""
    run = of("schedule-free")
    training = Training(run, summary, CPU)
    fit(training, few)
    torch.manual_seed(run.seed)
    network = build_network(run.workload, summary)
    warmup = run.schedule.resolve(run.lr, EPOCHS, 7)["warmup"]
    optimizer = schedulefree.SGDScheduleFree(network.parameters(), 10 * run.lr, 0.9, warmup_steps=warmup)
    order = torch.Generator().manual_seed(run.seed)
    for _ in range(EPOCHS):
        optimizer.train()
        for batch in draw_batches(len(few[0]), run.workload.batch_size, order):
            optimizer.zero_grad()
            outputs = network(few[0].x[batch] / summary.white)
            torch.nn.functional.cross_entropy(outputs, few[0].y[batch].long()).backward()
            optimizer.step()
        optimizer.eval()
    for name, weights in training.evaluated.network.state_dict().items():
        assert torch.allclose(weights, network.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ema", "swa", "schedule-free"])
def test_a_run_resumes_in_the_middle_of_an_epoch(name: str, summary: Summary, few: Splits) -> None:
    """The network has dropout and batch norm; the run is stopped once before the average begins, and once after."""
    run = of(name, DROPS)
    whole, states = Training(run, summary, CPU), []

    def keep() -> None:
        if whole.position in [(2, 5), (4, 3)]:
            states.append(deepcopy(whole.state_dict()))

    epochs = fit(whole, few, keep)
    for state in states:
        resumed = Training(run, summary, CPU)
        resumed.load_state_dict(state)
        fit(resumed, few)
        assert resumed.recorded == epochs
        assert equal(resumed.evaluated.network.state_dict(), whole.evaluated.network.state_dict())
    assert len(states) == 2


@pytest.mark.parametrize("name", ["ema", "swa", "schedule-free"])
def test_statistics_of_batch_norm_are_those_of_the_average(name: str, summary: Summary, few: Splits) -> None:
    run = of(name, DROPS)
    training = Training(run, summary, CPU)
    *_, last = fit(training, few)
    network: Any = deepcopy(training.evaluated.network)
    layer: Any = network[2]
    gathered = layer.running_mean.clone()
    update_bn(TrainingSet(few[0], summary, run.workload, CPU).in_order(), network)
    assert torch.equal(layer.running_mean, gathered)
    assert last.val_loss == score(network, few[1], summary, run.workload, CPU)[0]


def test_an_average_does_not_change_the_training(summary: Summary, few: Splits) -> None:
    """Dropout runs while batch norm's statistics are gathered, but the random numbers of the training do not change."""
    found = []
    for scheduler in ("constant", "ema"):
        training = Training(of(scheduler, DROPS), summary, CPU)
        losses = [epoch.train_loss for epoch in fit(training, few)]
        found.append((losses, training.network.state_dict()))
    (losses, weights), (others, other_weights) = found
    assert losses == others
    assert equal(weights, other_weights)


def test_no_pass_over_the_examples_without_batch_norm(summary: Summary, few: Splits) -> None:
    class NoPass(TrainingSet):
        def in_order(self) -> Any:
            raise AssertionError

    run = of("ema")
    training = Training(run, summary, CPU)
    gather_statistics(training.network, NoPass(few[0], summary, run.workload, CPU), training.random)


def test_a_dead_run_stops_once_its_average_is_constant(squares: tuple[Summary, Splits]) -> None:
    summary, splits = squares
    for scheduler in ("ema", "swa", "schedule-free"):
        of_seeds = load(task="square-mlp", scheduler=scheduler, seeds=20).runs(10)
        dead = next(each for run in of_seeds if (each := Training(run, summary, CPU)).is_dead(splits[1]))
        (epoch,) = fit(dead, splits)
        assert epoch.val_loss == pytest.approx(1.983, abs=5e-4)
        assert dead.outcome(splits[1]) == "dead"


def test_a_network_that_cannot_be_copied_is_one_line(summary: Summary) -> None:
    run = of("ema", {"name": "tests.training.test_averaging:uncopied"})
    with pytest.raises(UserError, match="uncopied cannot be copied, which an average needs: Only Tensors"):
        Training(run, summary, CPU)


def uncopied(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A user's model with a tensor that torch cannot copy."""
    last = torch.nn.Linear(64, classes)
    network: torch.nn.Module = torch.nn.Sequential(torch.nn.Flatten(), last)
    network.scale = last.weight.norm()
    return network
