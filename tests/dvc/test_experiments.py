"""Queued experiments, which DVC runs in a temporary copy of the project, log to the project's own store."""

from pathlib import Path

import pytest

from tests.dvc.clones import dvc, git, store
from tests.helpers.processes import wait_for
from tests.helpers.project import FOREIGN, tracked

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]


def test_a_queued_experiment_logs_to_the_one_store(small: Path) -> None:
    dvc(small, "exp", "run", "--queue", "-S", "scheduler=wsd", "-S", "seeds=[4]", "train")
    dvc(small, "queue", "start")

    def finished() -> int:
        return sum(each.info.status == "FINISHED" for each in tracked(store(small)))

    wait_for(lambda: finished() == 2, every=1.0)  # asking the store is faster than asking DVC
    wait_for(lambda: dvc(small, "queue", "status").count("Success") == 1, every=2.0)
    found = tracked(store(small))
    assert sorted(each.info.run_name for each in found) == ["constant-s4", "wsd-s4"]
    assert all(each.data.metrics["val/accuracy"] > 0 for each in found)
    assert all(each.info.artifact_uri.startswith((small / "mlartifacts").as_uri()) for each in found)
    for each in found:
        assert {path.name for path in Path(each.info.artifact_uri.removeprefix("file://")).iterdir()} >= {"curve.csv"}
    assert len({each.data.tags["dvc.exp_name"] for each in found}) == 1
    assert git(small, "status", "--porcelain") == ""
    dvc(small, "queue", "stop", "--kill")
