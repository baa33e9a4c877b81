import pytest

from pipeline.schedules.expression import Expression


def test_an_expression_has_steps_and_epochs() -> None:
    factor = Expression("step + 10 * steps + 100 * epoch + 1000 * epochs", epochs=4, steps=8)
    assert factor(6) == 6 + 80 + 300 + 4000


def test_arithmetic() -> None:
    factor = Expression("max(0.1, 0.5 * (1 + cos(pi * step / steps))) if step < 5 else sqrt(4) ** -1", 10, 10)
    assert [factor(0), factor(5)] == [1.0, 0.5]


@pytest.mark.parametrize(
    "text", ["", "1 +", "lr", "open('x')", "().__class__", "'a' * 3", "[1]", "1j", "(-8) ** 0.5", "1e999", "log(0)"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Expression(text, 10, 10)(0)


def test_an_expression_is_saved_with_its_scheduler() -> None:
    """Torch saves the attributes of a callable object, so they must be plain values."""
    assert vars(Expression("1", 2, 3)) == {"text": "1", "epochs": 2, "steps": 3}
