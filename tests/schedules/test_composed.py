import pytest

from pipeline.errors import UserError
from tests.schedules.common import rates, resolved


def test_the_order_of_a_chain_with_a_restart_matters() -> None:
    restart = {"class": "CosineAnnealingWarmRestarts", "T_0": 5}
    decay = {"class": "ExponentialLR", "gamma": 0.9}
    first, second = (rates("chained", 20, schedulers=order) for order in ([restart, decay], [decay, restart]))
    assert first != pytest.approx(second)


@pytest.mark.parametrize("name", ["sequential", "chained"])
def test_sequential_and_chained_refuse_plateau(name: str) -> None:
    parts = [{"class": "ReduceLROnPlateau", "patience": 1}, {"class": "ExponentialLR", "gamma": 0.9}]
    with pytest.raises(UserError, match=rf"schedulers\.{name}\.schedulers\.0\.class: unknown 'ReduceLROnPlateau'"):
        rates(name, 20, schedulers=parts)


def test_parts_have_the_interval_of_the_whole() -> None:
    parts = [{"class": "ConstantLR", "total_iters": 2, "interval": "epoch"}, {"class": "ExponentialLR"}]
    found = resolved("chained", 10, 7, interval="batch", schedulers=parts)
    assert [part["interval"] for part in found["schedulers"]] == ["batch", "batch"]
    assert found["schedulers"][0]["total_iters"] == 14
    assert found["schedulers"][1]["gamma"] ** 70 == pytest.approx(0.01)
