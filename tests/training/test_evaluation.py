"""Scores are means over examples; a network that does not fit its data is told of in one line."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.data import Split, Summary
from pipeline.errors import UserError
from pipeline.training import evaluation
from pipeline.training.batches import inputs
from pipeline.training.evaluation import answers_all_alike, check, evaluate, load, score
from pipeline.training.state import Training
from tests.training.fitting import CPU, Splits, fit, runs


def test_score_is_the_mean_over_examples(summary: Summary, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = runs(seeds=1, scheduler="constant")
    network = Training(run, summary, CPU).network
    at_once = score(network, splits[0], summary, run, CPU)
    monkeypatch.setattr(evaluation, "SCORING_BATCH", {"image": 100})
    assert score(network, splits[0], summary, run, CPU) == pytest.approx(at_once, rel=1e-6)
    x, y = inputs(splits[0].x, summary, run), splits[0].y.long()
    assert at_once[0] == pytest.approx(torch.nn.functional.cross_entropy(network(x), y).item(), rel=1e-6)
    assert at_once[1] == (network(x).argmax(1) == y).double().mean().item()


def test_all_alike(summary: Summary, splits: Splits) -> None:
    (run,) = runs(seeds=1, scheduler="constant")
    network = Training(run, summary, CPU).network
    assert not answers_all_alike(network, splits[1], summary, run, CPU)
    for weight in network.parameters():
        torch.nn.init.zeros_(weight)
    assert answers_all_alike(network, splits[1], summary, run, CPU)
    one = Split(splits[1].x[:1], splits[1].y[:1])
    assert not answers_all_alike(network, one, summary, run, CPU)  # one example proves nothing


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), "answers 2 examples with (2, 3)"),
        (torch.nn.Linear(5, 10), "does not take the data of digits"),
    ],
)
def test_a_network_that_does_not_fit_is_one_line(
    network: torch.nn.Module, says: str, summary: Summary, splits: Splits
) -> None:
    (run,) = runs(seeds=1, scheduler="constant")
    with pytest.raises(UserError) as raised:
        check(network, splits[1], summary, run, CPU)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_trained_run_is_evaluated_from_its_weights(summary: Summary, splits: Splits, tmp_path: Path) -> None:
    (run,) = runs(seeds=1, scheduler="cosine")
    training = Training(run, summary, CPU)
    start = [weight.clone() for weight in training.network.parameters()]
    *_, last = fit(training, splits)
    save_file(training.network.state_dict(), tmp_path / "weights")
    loss, accuracy, layers = evaluate(run, tmp_path / "weights", summary, splits[1], None, CPU)
    assert (loss, accuracy) == (last.val_loss, last.val_accuracy)
    for layer, before, after in zip(layers, start, training.network.parameters(), strict=True):
        assert layer.start.norm == pytest.approx(before.norm().item(), rel=1e-5)
        assert layer.end.norm == pytest.approx(after.norm().item(), rel=1e-5)


def test_damaged_weights_are_one_line(summary: Summary, tmp_path: Path) -> None:
    (run,) = runs(seeds=1, scheduler="cosine")
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    (tmp_path / "broken").write_bytes(b"no weights")
    for name in ("other", "broken", "missing"):
        with pytest.raises(UserError, match=rf"{name}: not the weights of this run .*; run `uv run dvc repro` again"):
            load(run, tmp_path / name, summary)
