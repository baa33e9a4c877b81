from typing import Any

import pytest

from tests.schedules.common import LR, rates


def test_warmup_cosine_ends_lower_than_a_sequence_with_a_cosine_over_the_whole_run() -> None:
    wrong: dict[str, Any] = {
        "milestones": ["10%"],
        "schedulers": [
            {"class": "LinearLR", "start_factor": 0.1, "total_iters": "10%"},
            {"class": "CosineAnnealingLR", "T_max": "100%", "eta_min": 1e-6},
        ],
    }
    assert rates("sequential", 50, **wrong)[-1] > 5 * rates("warmup-cosine", 50)[-1]


@pytest.mark.parametrize("name", ["warmup-cosine", "wsd", "wsd-sqrt", "linear-to-zero"])
def test_a_warm_up_may_have_length_0(name: str) -> None:
    found = rates(name, 20, warmup=0)
    assert found[0] == LR
    assert found == sorted(found, reverse=True)


def test_the_peak_of_inverse_sqrt_is_the_base_rate_at_the_end_of_the_warm_up() -> None:
    found = rates("inverse-sqrt", 40, warmup=8)
    assert max(found) == found[7] == pytest.approx(LR)
