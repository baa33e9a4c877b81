import pytest
import torch
from torch import nn

from pipeline.losses import LOSSES

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 0.6], [-3.0, 1.0]])
Y = torch.tensor([0, 0, 1], dtype=torch.uint8)


def test_classes() -> None:
    entropy, nll = LOSSES["cross-entropy"], LOSSES["nll"]
    expected = nn.CrossEntropyLoss()(LOGITS, Y.long()).item()
    assert entropy.of(LOGITS, Y).item() == pytest.approx(expected)
    assert nll.of(torch.log_softmax(LOGITS, 1), Y).item() == pytest.approx(expected)
    for loss in (entropy, nll):
        assert loss.has_classes
        assert loss.correct(LOGITS, Y).tolist() == [True, False, True]


def test_the_next_token_is_a_class_at_each_position() -> None:
    """The targets are stored as uint16, and the loss is the mean over all tokens."""
    loss = LOSSES["next-token"]
    output = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 1, 4], [2, 2, 3]], dtype=torch.uint16)
    each = [-torch.log_softmax(output[i, j], 0)[int(y[i, j])].item() for i in range(2) for j in range(3)]
    assert loss.of(output, y).item() == pytest.approx(sum(each) / 6)
    assert loss.mean
    assert not loss.has_classes


def test_one_logit() -> None:
    loss = LOSSES["bce-with-logits"]
    logits = torch.tensor([[2.0], [0.5], [1.0]])
    assert loss.of(logits, Y).item() == pytest.approx(nn.BCEWithLogitsLoss()(logits[:, 0], Y.float()).item())
    assert loss.has_classes
    assert loss.correct(logits, Y).tolist() == [False, False, True]


def test_squares_are_averaged() -> None:
    loss = LOSSES["mean-squared-error"]
    assert loss.of(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0])).item() == 2.5
    assert loss.mean
    assert not loss.has_classes


def test_squares_are_summed() -> None:
    loss = LOSSES["squared-error"]
    assert loss.of(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0])).item() == 5
    assert not loss.mean
    assert not loss.has_classes


@pytest.mark.parametrize("name", LOSSES)
def test_a_stack_has_the_loss_of_each_network(name: str) -> None:
    loss = LOSSES[name]
    is_language = name == "next-token"
    shape = (3, 5, 6) if is_language else (3, 5)
    output = torch.randn(*shape, loss.outputs(4, 7), generator=torch.Generator().manual_seed(0))
    y = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(1)).to(
        torch.uint8 if loss.has_classes or is_language else torch.float32
    )
    expected = [loss.of(*each).item() for each in zip(output, y, strict=True)]
    assert loss.stacked(output, y).tolist() == pytest.approx(expected, rel=1e-4)


def test_outputs() -> None:
    assert [LOSSES[name].outputs(7) for name in ("cross-entropy", "nll")] == [7, 7]
    assert [LOSSES[name].outputs(2) for name in ("bce-with-logits", "squared-error", "mean-squared-error")] == [1, 1, 1]
    assert LOSSES["next-token"].outputs(0, 9) == 9
