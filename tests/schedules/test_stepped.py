import math

import pytest
from torch.optim import lr_scheduler

from tests.schedules import closed_forms
from tests.schedules.common import LR, optimizer, rates, schedule


def test_constant_is_not_torchs_constant_lr() -> None:
    assert set(rates("constant", 10, 2)) == {LR}
    torchs = lr_scheduler.ConstantLR(optimizer())
    assert torchs.get_last_lr()[0] == pytest.approx(LR / 3)


@pytest.mark.parametrize("epochs", [1, 10, 40])
def test_plateau_follows_the_validation_loss(epochs: int) -> None:
    losses = [abs(math.sin(3 * epoch)) + 0.1 for epoch in range(epochs)]
    plateau = schedule("plateau")
    scheduler = plateau.build(optimizer(), epochs, 1)
    found = []
    for loss in losses:
        found.append(scheduler.get_last_lr()[0])
        plateau.step_epoch(scheduler, loss)
    assert found == pytest.approx(closed_forms.plateau(losses, epochs, LR), rel=1e-9)
    assert epochs == 1 or len(set(found)) > 1


def test_plateau_counts_a_nan_loss_as_no_better() -> None:
    plateau = schedule("plateau", patience=0)
    scheduler = plateau.build(optimizer(), 10, 1)
    plateau.step_epoch(scheduler, 1.0)
    plateau.step_epoch(scheduler, math.nan)
    assert scheduler.get_last_lr()[0] == pytest.approx(LR / 10)
