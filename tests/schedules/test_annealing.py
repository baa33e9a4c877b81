import pytest

from tests.schedules.common import LR, rates, resolved


def test_cosine_rises_again_after_t_max() -> None:
    found = rates("cosine", 201, T_max=100)
    assert found[100] == pytest.approx(1e-6)
    assert found[200] == pytest.approx(LR)


@pytest.mark.parametrize("epochs", [1, 10, 40])
def test_exponential_ends_at_end_factor_unless_gamma_is_set(epochs: int) -> None:
    gamma = resolved("exponential", epochs)["gamma"]
    assert gamma**epochs == pytest.approx(0.01)
    assert resolved("exponential", epochs, gamma=0.9)["gamma"] == 0.9


def test_a_decay_to_0_by_epoch_never_trains_at_0() -> None:
    assert rates("polynomial", 10, power=1.0)[-1] == pytest.approx(LR / 10)
