"""Batches contain every example once, and inputs are those of the published recipes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import datasets
from pipeline.datasets import Split, Summary
from pipeline.datasets.square import Square
from pipeline.training.training_set import TrainingSet, draw_batches, inputs
from tests.helpers.project import load
from tests.training.fitting import CPU, Splits, runs


def test_batches_contain_every_example_once_in_random_order() -> None:
    drawn = draw_batches(100, 32, torch.Generator().manual_seed(0))
    order = torch.cat([batch for batch in drawn if isinstance(batch, torch.Tensor)])
    assert [len(order[index : index + 32]) for index in range(0, 100, 32)] == [32, 32, 32, 4]
    assert sorted(order.tolist()) == list(range(100))
    assert order.tolist() != list(range(100))
    again = draw_batches(100, 32, torch.Generator().manual_seed(0))
    assert all(torch.equal(*pair) for pair in zip(drawn, again, strict=True))  # type: ignore[arg-type]


def test_a_batch_of_all_examples_has_no_order() -> None:
    assert draw_batches(10, 10, torch.Generator()) == [slice(None)]


def test_texts_of_a_batch_have_similar_lengths() -> None:
    lengths = torch.randint(5, 200, (1000,), generator=torch.Generator().manual_seed(1))
    drawn = list(draw_batches(1000, 10, torch.Generator().manual_seed(0), lengths))
    assert sorted(torch.cat(drawn).tolist()) == list(range(1000))  # type: ignore[arg-type]
    padding = [float(1 - lengths[batch].float().mean() / lengths[batch].max()) for batch in drawn]
    assert np.mean(padding) < 0.03
    longest = [int(lengths[batch].max()) for batch in drawn]
    assert longest != sorted(longest)  # the batches are in random order


def test_several_runs_take_a_batch_each(summary: Summary, splits: Splits) -> None:
    (run,) = runs(seeds=1, scheduler="constant")
    examples = TrainingSet(splits[0], summary, run.workload, CPU)
    indices = [torch.tensor([3, 1]), torch.tensor([0, 2])]
    x, y = examples.take(indices)
    assert x.shape == (2, 2, 1, 8, 8)
    for number, each in enumerate(indices):
        assert torch.equal(x[number], inputs(splits[0].x[each], summary, run.workload))
        assert torch.equal(y[number], splits[0].y[each])
    assert torch.equal(examples.take([slice(None)])[0][0], inputs(splits[0].x, summary, run.workload))


def test_pixels_are_between_0_and_1(summary: Summary, splits: Splits) -> None:
    pixels = inputs(splits[0].x, summary, runs(seeds=1)[0].workload)
    assert (pixels.min().item(), pixels.max().item(), pixels.dtype) == (0, 1, torch.float32)


def test_mnist_cnn_is_normalised_as_published() -> None:
    run = load(task="mnist-cnn").runs()[0]
    summary = datasets.Summary("mnist", {}, "image", "", "", ["0"], 255, [1, 1, 2], 0, {}, {})
    x = inputs(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), summary, run.workload)
    assert x.flatten().tolist() == pytest.approx([-0.1307 / 0.3081, (1 - 0.1307) / 0.3081])


def test_texts_are_cut_to_the_longest_of_the_batch() -> None:
    summary = Summary("imdb", {}, "text", "", "", ["neg", "pos"], 1, [5], 10, {}, {})
    run = load(task="imdb-lstm", scheduler="constant", seeds=1).runs()[0]
    x = torch.tensor([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert inputs(x, summary, run.workload).tolist() == [[1, 2, 3], [4, 0, 0], [0, 0, 0]]
    examples = TrainingSet(Split(x, torch.zeros(3)), summary, run.workload, CPU)
    assert examples.lengths is not None
    assert examples.lengths.tolist() == [3, 1, 0]
    assert examples.take([torch.tensor([1])])[0].tolist() == [[[4]]]
    assert inputs(x[2:], summary, run.workload).shape == (1, 1)  # for an empty text


def test_numbers_stay_as_they_are(tmp_path: Path) -> None:
    summary = datasets.prepare(Square(), tmp_path, tmp_path)
    split = datasets.read(tmp_path, "train")
    assert inputs(split.x, summary, load(task="square-mlp").runs()[0].workload) is split.x
