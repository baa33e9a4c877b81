"""The README names what there is."""

import re

import pytest

from pipeline.params import Params
from pipeline.schedules.horizons import Horizon
from pipeline.settings.optimizers import OPTIMIZERS
from tests.conftest import ROOT, SCHEDULERS, load

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_has_a_row(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", README, re.MULTILINE)


def test_every_parameter_has_a_row() -> None:
    for name in Params.model_fields:
        assert re.search(rf"^\| `{name}(\.<name>)?` \|", README, re.MULTILINE), name
    for name in type(load().run_task).model_fields:
        assert f"`{name}`" in README
    for name in OPTIMIZERS:
        assert f"`{name}`" in README


def test_every_horizon_is_named() -> None:
    for schedule in load().schedulers.values():
        for name, value in schedule:
            horizons = value if isinstance(value, list) else [value]
            if isinstance(horizons[0], Horizon) and name != "cooldown":
                assert f"`{name}`" in README, name


def test_pictures_and_files_that_it_shows_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
