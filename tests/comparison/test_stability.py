"""Range tests are read correctly from loss curves of known shape."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.comparison import stability
from pipeline.comparison.stability import HIGHEST, LOWEST, RangeTest, Reading, outside, read
from pipeline.runs.records import Stable
from tests.comparison.range_tests import RATES, falls
from tests.helpers.project import load


def reading(*losses: list[float]) -> Reading:
    found = read(RangeTest("sgd", RATES, losses))
    assert found is not None
    return found


def test_rates_are_log_spaced() -> None:
    assert (RATES[0], RATES[-1]) == pytest.approx((LOWEST, HIGHEST))
    ratios = [after / before for before, after in pairwise(RATES)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert len(RATES) >= 100


@pytest.mark.parametrize(("at", "rises"), [(1e-4, 1e-2), (1e-3, 0.3), (0.05, 0.5), (0.1, 3.0)])
def test_the_steepest_and_the_last_stable_rate_are_found(at: float, rises: float) -> None:
    found = reading(falls(at, rises=rises))
    assert found.steepest == pytest.approx(at, rel=0.1)
    assert 0.6 * rises < found.last_stable < rises
    assert found.steepest < found.suggestion < found.last_stable


def test_an_infinite_or_nan_loss_counts_as_a_rise() -> None:
    falling = falls(0.01)
    for end in (math.inf, math.nan, 1e30):
        found = reading([loss if rate < 0.5 else end for rate, loss in zip([0.0, *RATES], falling, strict=True)])
        assert 0.3 < found.last_stable < 0.5


def test_no_rate_is_too_high_if_the_loss_never_rises() -> None:
    found = reading(falls(0.01))
    assert math.isinf(found.last_stable)
    assert found.suggestion <= HIGHEST
    assert found.stable(100).high is None
    assert found.stable(100).holds(1e6)


def test_noise_and_a_brief_bump_do_not_count_as_a_rise() -> None:
    losses = falls(0.01, rises=1.0)
    for place, rate in enumerate(RATES, start=1):
        losses[place] += 0.1 if place % 2 else -0.1
        if 0.1 < rate < 0.12:
            losses[place] += 2.0
    assert 0.6 < reading(losses).last_stable < 1.0


def test_the_median_of_the_seeds_that_learn_counts() -> None:
    dead, early, middle, late = [2.0] * (1 + len(RATES)), *(falls(0.01, rises=rate) for rate in (0.1, 0.3, 1.0))
    assert reading(early, middle, late) == reading(late, early, middle)
    assert reading(early, middle, late).last_stable == reading(middle).last_stable
    assert reading(dead, middle) == reading(middle)
    assert reading(middle, late).last_stable == reading(middle).last_stable  # of two readings, the lower counts
    nothing = [math.nan] * (1 + len(RATES))
    assert read(RangeTest("sgd", RATES, [dead, nothing])) is None
    assert stability.stable([RangeTest("sgd", RATES, [dead])], 100) == {}


@given(at=st.floats(1e-5, 1.0), width=st.floats(1.0, 1e4), start=st.floats(0.01, 1e4), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_the_suggestion_and_its_grid_are_in_the_range(at: float, width: float, start: float, seed: int) -> None:
    losses = falls(at, to=0.2 * start, rises=at * width, start=start, higher=2 * start)
    noise = np.random.default_rng(seed).uniform(0, 0.3, len(losses))
    losses = [loss + start * float(each) for loss, each in zip(losses, noise, strict=True)]
    found = read(RangeTest("sgd", RATES, [losses]))
    if found is None:
        return
    assert found.steepest <= found.suggestion <= found.last_stable
    assert found.grid == sorted(set(found.grid))
    top = min(found.last_stable, HIGHEST)
    assert all(0.95 * found.steepest <= rate <= 1.05 * top for rate in found.grid)  # the grid is rounded


def test_a_longer_run_allows_a_lower_rate() -> None:
    found = reading(falls(0.01, rises=1.0))
    short, long = found.stable(100), found.stable(1000)
    assert short.low == pytest.approx(10 * long.low)
    assert short.high == long.high
    assert short.holds(found.suggestion)
    assert not short.holds(short.low / 1.1)
    assert not short.holds(10.0)


def test_rates_outside_the_stable_range_are_named_with_their_schedulers() -> None:
    runs = load(scheduler=["cosine", "step"], seeds=2, optimizer=["adam", "sgd"], lr=[1e-6, 0.1, 1.0, 2.0]).runs()
    high, free = Stable(0.01, 0.5, [0.1]), Stable(1e-9, None, [0.1])
    low, too_high = outside(runs, {"sgd": high})
    assert (low.optimizer, low.is_low, low.rates, low.schedulers) == ("sgd", True, [1e-6], ["cosine", "step"])
    assert (too_high.is_low, too_high.rates) == (False, [1.0, 2.0])
    assert outside(runs, {"adam": free}) == outside(runs, {}) == []
