"""Training with optional settings equals a plain loop, and a run's bits do not depend on its stack."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pipeline.datasets import Split, Summary
from pipeline.errors import UserError
from pipeline.losses import LOSSES
from pipeline.training.accumulation import WHOLE_STEP, MicroBatch, micro_batch
from pipeline.training.building import build_network
from pipeline.training.checks import check_outputs
from pipeline.training.loop import train
from pipeline.training.range_test import range_test
from pipeline.training.state import Training
from pipeline.training.training_set import draw_batches
from tests.helpers.project import EVERYTHING, load
from tests.training.fitting import CPU, Splits, fit


@pytest.fixture(scope="module")
def few(splits: Splits) -> Splits:
    return Split(splits[0].x[:200], splits[0].y[:200]), Split(splits[1].x[:50], splits[1].y[:50])


def trainings(summary: Summary, scheduler: Any = "onecycle", seeds: Any = 1, **settings: Any) -> list[Training]:
    changes = {f"tasks__digits-mlp__{key}": value for key, value in {"epochs": 2, **settings}.items()}
    return [Training(run, summary, CPU) for run in load(scheduler=scheduler, seeds=seeds, **changes).runs(200)]


USER, ALONE = ({"name": f"tests.training.fitting:{name}"} for name in ("plain", "Alone"))


def test_clipping_equals_torchs_in_a_plain_loop(summary: Summary, few: Splits) -> None:
    """Even the bits are equal, because the network is not trained in a stack."""
    (ours,) = trainings(summary, "constant", clip_grad_norm=0.8, model=ALONE, epochs=1)
    torch.manual_seed(0)
    network, order = build_network(ours.workload, summary), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.15, momentum=0.9, fused=True)
    norms = []
    for batch in draw_batches(200, 32, order):
        optimizer.zero_grad()
        F.cross_entropy(network(few[0].x[batch] / summary.white), few[0].y[batch].long()).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(network.parameters(), 0.8)))
        optimizer.step()
    fit(ours, few)
    assert max(norms) > 0.8 > min(norms)
    for one, other in zip(ours.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("model", [{"name": "mlp", "hidden": [16]}, USER], ids=["stack", "single"])
def test_four_accumulated_batches_of_8_equal_one_of_32(model: dict[str, Any], summary: Summary, few: Splits) -> None:
    """The last step of an epoch has only 8 examples; the scheduler is stepped once per step of the optimizer."""
    (parts,) = trainings(summary, model=model, batch_size=8, accumulate=4)
    (whole,) = trainings(summary, model=model, batch_size=32)
    found, expected = fit(parts, few), fit(whole, few)
    for one, other in zip(found, expected, strict=True):
        assert one.lr == other.lr
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-5)
    for weight, expects in zip(parts.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.allclose(weight, expects, rtol=1e-4, atol=1e-6)


def test_accumulation_of_a_summed_loss_adds_gradients(squares: tuple[Summary, Splits]) -> None:
    summary, splits = squares
    weights = []
    for size, accumulate in ((len(splits[0]), None), (2, 100)):
        changes = {"batch_size": size, "accumulate": accumulate, "epochs": 1}
        named = {f"tasks__square-mlp__{key}": value for key, value in changes.items()}
        run = load(task="square-mlp", scheduler="constant", seeds=1, **named).runs(len(splits[0]))[0]
        training = Training(run, summary, CPU)
        fit(training, splits)
        weights.append([*training.network.parameters()])
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-6) for one, other in zip(*weights, strict=True))


def test_parts_of_a_step() -> None:
    """If batches have 4 examples and a step has three batches, 25 examples make steps of 12, 12 and 1 examples."""
    run = load(**{"tasks__digits-mlp__batch_size": 4, "tasks__digits-mlp__accumulate": 3}).runs(25)[0]
    found = [micro_batch(run.workload, batch, 25) for batch in range(7)]
    thirds = [MicroBatch(True, False, 1 / 3), MicroBatch(False, False, 1 / 3), MicroBatch(False, True, 1 / 3)]
    assert found == [*thirds, *thirds, WHOLE_STEP]
    assert [part.share for part in (micro_batch(run.workload, batch, 22) for batch in (3, 4, 5))] == [0.4, 0.4, 0.2]
    assert run.batches == 3


def test_labels_are_smoothed_only_in_training(summary: Summary, few: Splits) -> None:
    (training,) = trainings(summary, label_smoothing=0.2)
    output, y = torch.randn(2, 5, 10), torch.arange(10).view(2, 5)
    each = [F.cross_entropy(one, of, label_smoothing=0.2) for one, of in zip(output, y, strict=True)]
    assert torch.allclose(training.loss.stacked(output, y), torch.stack(each))
    epoch = fit(training, few)[-1]
    plain = F.cross_entropy(training.network(few[1].x / summary.white), few[1].y.long())
    assert epoch.val_loss == pytest.approx(plain.item(), rel=1e-5)
    assert training.loss.mean
    assert LOSSES["cross-entropy"] is trainings(summary)[0].loss


def test_bfloat16_is_autocast(summary: Summary, few: Splits) -> None:
    """The weights are still float32, and the figures differ a little from those of training in float32."""
    (ours,), (full,) = (trainings(summary, precision=precision) for precision in ("bfloat16", None))
    found, expected = fit(ours, few)[-1], fit(full, few)[-1]
    assert {weight.dtype for weight in ours.network.parameters()} == {torch.float32}
    assert found.val_loss != expected.val_loss
    assert found.val_loss == pytest.approx(expected.val_loss, rel=0.1)


def test_a_device_without_bfloat16_is_one_line(summary: Summary, few: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    (training,) = trainings(summary, precision="bfloat16")
    check_outputs(training.network, few[1], summary, training.workload, CPU)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    with pytest.raises(UserError, match=r"^precision bfloat16: not on this cuda device"):
        check_outputs(training.network, few[1], summary, training.workload, torch.device("cuda"))


def bits(trained: Sequence[Training], few: Splits) -> dict[str, Any]:
    for _ in train(trained, *few):
        pass
    weights = {each.run.name: [w.detach().numpy().tobytes() for w in each.network.parameters()] for each in trained}
    return {each.run.name: (repr(each.recorded), weights[each.run.name]) for each in trained}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_does_not_depend_on_its_stack(optimizer: str, summary: Summary, few: Splits) -> None:
    def made() -> list[Training]:
        return trainings(summary, ["cosine", "onecycle", "plateau"], 2, optimizer=optimizer, **EVERYTHING)

    expected = bits(made(), few)
    assert len({repr(each) for each in expected.values()}) == 6
    for part in (slice(0, 1), slice(1, 3), slice(5, 6)):
        found = bits(made()[part][::-1], few)
        assert found == {name: expected[name] for name in found}


def test_the_range_test_uses_all_options(summary: Summary, few: Splits) -> None:
    """A step has three batches. The rates hardly change the weights, so every step has about the initial loss."""
    (tested,) = trainings(summary, **EVERYTHING)
    before = [weight.detach().clone() for weight in tested.network.parameters()]
    (losses,) = range_test([tested], few[0], [1e-9] * 6)
    assert len(losses) == 7
    assert losses == pytest.approx([losses[0]] * 7, rel=0.1)
    assert {group["lr"] for group in tested.optimizer.param_groups} == {1e-9}
    assert all(torch.allclose(one, other) for one, other in zip(before, tested.network.parameters(), strict=True))
