"""Range tests do not depend on the number of workers, are cached, and do not influence a run's fingerprint."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison import stability
from pipeline.comparison.stability import RangeTest
from pipeline.runs.fingerprint import ROOTS, modules
from pipeline.runs.params import Run
from pipeline.sweep.lr_range import RANGES, RangeJob, is_cheap, range_tests
from pipeline.sweep.pool import Workers
from tests.helpers.project import ROOT
from tests.sweep.sweeping import runs

FEW = tuple(stability.rates()[150::10])


LARGE = {"tasks__digits-mlp__model": {"name": "mlp", "hidden": [1024, 512]}}
"""Changes to params.yaml that make the network too large for stacks."""


def found_by(
    of: list[Run],
    digits: Path,
    jobs: int = 1,
    stack_size: int = 16,
    seeds: tuple[int, ...] = stability.SEEDS,
) -> list[RangeTest]:
    with Workers(jobs, "cpu") as workers:
        return range_tests(workers, RangeJob(digits, FEW), of, stack_size, seeds)


@pytest.mark.slow
@pytest.mark.parametrize("is_large", [False, True])
def test_the_number_of_workers_changes_nothing(is_large: bool, digits: Path) -> None:
    changes = LARGE if is_large else {}
    of = runs(scheduler=["constant", "cosine"], optimizer=["sgd", "adam"], **changes)
    one, three = (found_by(of, digits, jobs, stack_size=1 if is_large else 2) for jobs in (1, 3))
    assert one == three
    assert [test.optimizer for test in one] == ["sgd", "adam"]
    assert all(len(test.losses) == 3 for test in one)
    assert all(len(losses) == 1 + len(FEW) for test in one for losses in test.losses)


def test_schedule_base_rate_and_length_change_nothing(digits: Path) -> None:
    """Even a schedule that sets rates and momentum when it is built does not change the test."""
    cycles = {"schedulers__onecycle__cycle_momentum": True}
    (found,) = found_by(runs(scheduler="onecycle", lr=3.0, epochs=7, **cycles), digits, seeds=(0,))
    (expected,) = found_by(runs(scheduler="constant"), digits, seeds=(0,))
    assert found == expected


def test_losses_are_cached_and_damaged_files_replaced(digits: Path, tmp_path: Path) -> None:
    with Workers(1, "cpu") as workers:

        def found(**changes: Any) -> RangeTest:
            of, job = runs(scheduler="constant", **changes), RangeJob(digits, FEW[-3:])
            (test,) = range_tests(workers, job, of, stack_size=16, seeds=(0,), cache=tmp_path)
            return test

        first = found()
        (file,) = (tmp_path / RANGES).iterdir()
        whole = file.read_text()
        for damaged in ("{", "3", "[[1.0]]", "[[null]]", '{"a": 1}'):
            file.write_text(damaged)
            assert found() == first
            assert file.read_text() == whole
        file.write_text(whole.replace(str(first.losses[0][0]), "0.125", 1))
        assert found().losses[0][0] == 0.125  # it was read from the file
        found(optimizers__sgd__momentum=0.5)
        assert len([*(tmp_path / RANGES).iterdir()]) == 2


def test_a_large_network_is_tested_if_that_costs_at_most_two_per_cent() -> None:
    of = runs(scheduler="constant", epochs=50, seeds=1)
    batches = 3 * stability.STEPS
    enough = -(-batches * 50 // (50 * 34))
    assert is_cheap(of, enough, stack_size=1)
    assert not is_cheap(of, enough - 1, stack_size=1)
    assert is_cheap(of, 1, stack_size=16)
    assert not is_cheap(runs(scheduler="constant", epochs=50, optimizer=["sgd", "adam"]), enough, stack_size=1)


def test_no_fingerprint_depends_on_the_code_of_range_tests() -> None:
    assert not {"pipeline.sweep.lr_range", "pipeline.training.range_test", "pipeline.comparison.stability"} & set(
        modules(ROOTS, ROOT, "pipeline")
    )
