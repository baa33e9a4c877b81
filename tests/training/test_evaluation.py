"""Scores are means over examples, and a network that does not fit its data is a one-line error."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.datasets import Split, Summary
from pipeline.errors import UserError
from pipeline.training import evaluation
from pipeline.training.checks import check_outputs, check_training
from pipeline.training.evaluation import evaluate, load, outputs_all_equal, score
from pipeline.training.state import Training
from pipeline.training.training_set import inputs
from tests.training.fitting import CPU, Splits, fit, runs


def test_score_is_the_mean_over_examples(summary: Summary, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = runs(seeds=1, scheduler="constant")
    network = Training(run, summary, CPU).network
    at_once = score(network, splits[0], summary, run.workload, CPU)
    monkeypatch.setattr(evaluation, "SCORING_BATCH", {"image": 100})
    assert score(network, splits[0], summary, run.workload, CPU) == pytest.approx(at_once, rel=1e-6)
    x, y = inputs(splits[0].x, summary, run.workload), splits[0].y.long()
    assert at_once[0] == pytest.approx(torch.nn.functional.cross_entropy(network(x), y).item(), rel=1e-6)
    assert at_once[1] == (network(x).argmax(1) == y).double().mean().item()


def test_outputs_all_equal(summary: Summary, splits: Splits) -> None:
    (run,) = runs(seeds=1, scheduler="constant")
    network = Training(run, summary, CPU).network
    assert not outputs_all_equal(network, splits[1], summary, run.workload, CPU)
    for weight in network.parameters():
        torch.nn.init.zeros_(weight)
    assert outputs_all_equal(network, splits[1], summary, run.workload, CPU)
    one = Split(splits[1].x[:1], splits[1].y[:1])
    assert not outputs_all_equal(network, one, summary, run.workload, CPU)  # a single output proves nothing


def test_a_deep_network_scores_few_large_pictures_at_once(summary: Summary, splits: Splits) -> None:
    """The activations for 512 pictures of 224 x 224 pixels would take many gigabytes."""
    seen: list[int] = []
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10))
    network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    for model, sizes in (({"name": "cifar-resnet"}, [2, 1]), ({"name": "tests.training.fitting:plain"}, [3])):
        (run,) = runs(seeds=1, scheduler="constant", **{"tasks__digits-mlp__model": model})
        for of in (replace(summary, input_shape=[1, 600, 400]), summary):
            score(network, Split(splits[0].x[:3], splits[0].y[:3]), of, run.workload, CPU)
        assert seen == [*sizes, 3]
        seen.clear()


def normed(batch_size: int, model: str = "tests.training.fitting:normed") -> Training:
    changes = {"tasks__digits-mlp__model": {"name": model}, "tasks__digits-mlp__batch_size": batch_size}
    (run,) = runs(seeds=1, scheduler="constant", **changes)
    return Training(run, SUMMARY, CPU)


SUMMARY = Summary("digits", {}, "image", "", "", [str(each) for each in range(10)], 16, [1, 8, 8], 0, {}, {})


@pytest.mark.parametrize("batch_size", [4, 1, 1076])
def test_a_last_batch_of_one_that_batch_norm_cannot_train_on_is_one_line(batch_size: int, splits: Splits) -> None:
    assert len(splits[0]) == 1077
    training = normed(batch_size)
    with pytest.raises(UserError) as raised:
        check_training(training.network, splits[0], SUMMARY, training.workload, CPU)
    assert "fitting:normed cannot be trained on digits: Expected more than 1 value per channel" in str(raised.value)
    leaves = f"; 1077 examples in batches of {batch_size} leave one for the last: set another batch_size"
    assert str(raised.value).endswith(leaves)


@pytest.mark.parametrize(
    ("batch_size", "model"), [(32, "normed"), (1077, "normed"), (2000, "normed"), (4, "plain"), (1, "plain")]
)
def test_other_batch_sizes_pass(batch_size: int, model: str, splits: Splits) -> None:
    training = normed(batch_size, f"tests.training.fitting:{model}")
    check_training(training.network, splits[0], SUMMARY, training.workload, CPU)


def test_a_network_is_checked_with_as_many_examples_as_are_scored_at_once() -> None:
    """A language model with batch size 1 is checked with one example, as is a deep network for large pictures."""
    task = {"batch_size": 1, "model": {"name": "gpt", "layers": 1, "heads": 1, "width": 2}, "train_subset": 9}
    changes = {f"tasks__imdb-gpt__{key}": value for key, value in task.items()}
    (run,) = runs(examples=9, task="imdb-gpt", seeds=1, scheduler="constant", **changes)
    tokens = Summary("text-file", {}, "tokens", "", "", [], 0, [3], 5, {}, {})
    windows = torch.zeros((2, 4), dtype=torch.uint16)
    network = Training(run, tokens, CPU).network
    check_outputs(network, Split(windows[:, :-1], windows[:, 1:]), tokens, run.workload, CPU)
    with pytest.raises(UserError, match=r"model gpt returns \(1, 3, 5\) for 1 example; it must return \(1, 3, 4\)"):
        check_outputs(
            network, Split(windows[:, :-1], windows[:, 1:]), replace(tokens, vocabulary_size=4), run.workload, CPU
        )
    (run,) = runs(seeds=1, scheduler="constant", **{"tasks__digits-mlp__model": {"name": "cifar-resnet", "depth": 8}})
    large = replace(SUMMARY, input_shape=[1, 750, 750])
    pictures = torch.zeros((2, 1, 750, 750), dtype=torch.uint8)
    check_outputs(Training(run, large, CPU).network, Split(pictures, torch.zeros(2)), large, run.workload, CPU)


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


def test_running_averages_of_batch_norm_are_saved_but_not_reported_as_layers(splits: Splits, tmp_path: Path) -> None:
    training = normed(32)
    *_, last = fit(training, splits)
    state = training.network.state_dict()
    assert {"2.running_mean", "2.num_batches_tracked"} <= set(state)
    save_file(state, tmp_path / "weights")
    loss, accuracy, layers = evaluate(training.run, tmp_path / "weights", SUMMARY, splits[1], None, CPU)
    assert (loss, accuracy) == (last.val_loss, last.val_accuracy)
    assert [layer.name for layer in layers] == [name for name, _ in training.network.named_parameters()]


def test_pictures_smaller_than_torchvisions_minimum_are_one_line(splits: Splits) -> None:
    training = normed(32, "torchvision:squeezenet1_1")
    with pytest.raises(UserError) as raised:
        check_outputs(training.network, splits[1], SUMMARY, training.workload, CPU)
    assert str(raised.value).startswith("model torchvision:squeezenet1_1 does not take the data of digits: ")
    assert str(raised.value).endswith(" (pictures of 8 x 8 pixels; torchvision says at least 17 x 17)")
    assert "\n" not in str(raised.value)


def test_damaged_weights_are_one_line(summary: Summary, tmp_path: Path) -> None:
    (run,) = runs(seeds=1, scheduler="cosine")
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    (tmp_path / "broken").write_bytes(b"no weights")
    for name in ("other", "broken", "missing"):
        with pytest.raises(UserError, match=rf"{name}: not the weights of this run .*; run `uv run dvc repro` again"):
            load(run.workload, tmp_path / name, summary)
