import pytest
import torch
from torch import nn

from pipeline.training.losses import LOSSES

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 0.6], [-3.0, 1.0]])
Y = torch.tensor([0, 0, 1], dtype=torch.uint8)


def test_classes() -> None:
    entropy, nll = LOSSES["cross-entropy"], LOSSES["nll"]
    expected = nn.CrossEntropyLoss()(LOGITS, Y.long()).item()
    assert entropy.of(LOGITS, Y).item() == pytest.approx(expected)
    assert nll.of(torch.log_softmax(LOGITS, 1), Y).item() == pytest.approx(expected)
    for loss in (entropy, nll):
        assert loss.correct is not None
        assert loss.correct(LOGITS, Y).tolist() == [True, False, True]


def test_one_logit() -> None:
    loss = LOSSES["bce-with-logits"]
    logits = torch.tensor([[2.0], [0.5], [1.0]])
    assert loss.of(logits, Y).item() == pytest.approx(nn.BCEWithLogitsLoss()(logits[:, 0], Y.float()).item())
    assert loss.correct is not None
    assert loss.correct(logits, Y).tolist() == [False, False, True]


def test_squares_are_summed() -> None:
    loss = LOSSES["squared-error"]
    assert loss.of(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0])).item() == 5
    assert not loss.mean
    assert loss.correct is None
