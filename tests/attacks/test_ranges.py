"""Whatever the losses of a range test, its reading, its plot and the advice are readable."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.comparison import stability
from pipeline.comparison.stability import RangeTest
from pipeline.report import range_plot, style
from pipeline.report.advice import unstable
from pipeline.report.terminal import print_readings
from tests.attacks.driving import check_readable
from tests.helpers.project import load

RUNS = {lr: load(scheduler="step", seeds=1, lr=lr).runs() for lr in (1e-30, 1e-6, 0.15, 1e30)}
"""Maps base rates to runs."""
STEPS = 61
"""The number of rates of a test; a real test has more."""
RATES = [float(rate) for rate in np.geomspace(stability.LOWEST, stability.HIGHEST, STEPS)]
ends = st.sampled_from([0.0, 1e-45, 0.1, 0.99, 1.0, 1.01, 3e38, -1.0, math.nan, math.inf])
losses = st.tuples(ends, ends, ends, st.integers(0, STEPS), st.sampled_from([0.0, 0.05]))
"""Draws arguments of `curve` for the losses of one seed."""


def curve(start: float, low: float, end: float, place: int, noise: float) -> list[float]:
    """Return losses that fall from ``start`` to ``low``, reach it at step ``place``, and then rise to ``end``."""
    random = np.random.default_rng(place)
    with np.errstate(all="ignore"):
        down, up = np.linspace(start, low, place + 1), np.linspace(low, end, STEPS - place + 1)[1:]
        return [float(loss) for loss in np.concatenate([down, up]) * (1 + noise * random.normal(size=STEPS + 1))]


tests = st.lists(losses, min_size=1, max_size=3).map(lambda seeds: [curve(*seed) for seed in seeds])


@pytest.mark.slow
@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=[*HealthCheck])
@given(tests, st.sampled_from([1, 5, 10_000]), st.sampled_from([*RUNS]), st.integers(0, 19))
def test_any_range_test_is_readable(
    tmp_path_factory: pytest.TempPathFactory, of: list[list[float]], batches: int, lr: float, number: int
) -> None:
    test = RangeTest("sgd", RATES, of)
    reading = stability.read(test)
    readings = {} if reading is None else {"sgd": reading}
    screen = io.StringIO()
    print_readings(Console(file=screen, width=100), [test], readings, {"sgd": ""})
    for text in [screen.getvalue(), *unstable(RUNS[lr], stability.stable([test], batches))]:
        check_readable(text)
    if number == 0:
        picture: Path = tmp_path_factory.getbasetemp() / "range.png"
        style.save(range_plot.draw([test], readings, "a range test"), picture)
        assert picture.stat().st_size > 1000
