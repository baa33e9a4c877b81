from typing import Any

import pytest
from torch.optim.swa_utils import SWALR

from tests.schedules.common import LR, optimizer, rates, resolved


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_the_rate_is_that_of_torchs_swalr_in_a_plain_loop(strategy: str) -> None:
    """As in torch's documentation, SWALR takes its first step after the first epoch that is averaged."""
    used = optimizer()
    scheduler, expected = SWALR(used, 0.3 * LR, 5, strategy), []  # type: ignore[arg-type]
    for epoch in range(20):
        expected.append(used.param_groups[0]["lr"])
        used.step()
        if epoch >= 12:
            scheduler.step()
    settings: dict[str, Any] = {"start": "60%", "anneal": 5, "swa_factor": 0.3, "anneal_strategy": strategy}
    assert rates("swa", 20, **settings) == pytest.approx(expected)


def test_the_average_starts_with_the_annealing() -> None:
    assert resolved("swa", 20)["average"] == {"kind": "swa", "start": 15}
    by_batch = resolved("swa", 20, 3, interval="batch")
    assert (by_batch["start"], by_batch["average"]["start"]) == (45, 15)
