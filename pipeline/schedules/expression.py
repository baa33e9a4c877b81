"""Defines schedules whose factor is an arithmetic expression, such as `1 / (1 + 9 * step / steps)`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator
from simpleeval import SimpleEval

from pipeline.schedules.base import Schedule
from pipeline.schedules.torch_call import TorchCall
from pipeline.settings import Resolved

FUNCTIONS = {name: getattr(math, name) for name in ("sqrt", "exp", "log", "cos", "sin")} | {
    "min": min,
    "max": max,
    "abs": abs,
}
NAMES = ("step", "steps", "epoch", "epochs", "pi")


@dataclass
class Expression:
    """An arithmetic expression that can be called with a step and returns the factor for this step.

    This is a class because a scheduler's `state_dict` saves the attributes of a callable object, but leaves out a
    lambda. The text is evaluated by the `simpleeval` package, which accepts only arithmetic, so the text cannot run
    other Python code.
    """

    text: str
    """The arithmetic expression, which may use the names in `NAMES` and the functions in `FUNCTIONS`."""
    epochs: int
    """The number of epochs in the run."""
    steps: int
    """The number of scheduler steps in the run."""

    def __call__(self, step: int) -> float:
        """Return the factor after ``step`` steps.

        Raises:
            ValueError: the text is not arithmetic with `NAMES` and `FUNCTIONS`, or its value is negative or not
                finite.
        """
        epoch = step * self.epochs / self.steps
        names = {"step": step, "steps": self.steps, "epoch": epoch, "epochs": self.epochs, "pi": math.pi}
        try:
            arithmetic = SimpleEval(names=names, functions=FUNCTIONS)
            value = float(arithmetic.eval(self.text, previously_parsed=_parsed(self.text)))
        except Exception as error:  # evaluating the text may raise any exception
            raise ValueError(
                f"{self.text!r} cannot be computed at step {step}: {error}; allowed: arithmetic with "
                f"{', '.join(NAMES)} and {', '.join(FUNCTIONS)}"
            ) from None
        if not 0 <= value < math.inf:
            raise ValueError(f"{self.text!r} is {value:g} at step {step}; allowed: finite numbers from 0")
        return value


@lru_cache(maxsize=64)
def _parsed(text: str) -> object:
    return SimpleEval.parse(text)


@lru_cache(maxsize=64)
def check(text: str, epochs: int, steps: int) -> None:
    """Raise a ValueError if an expression has no valid value at some step of a run, for example if it divides by 0."""
    factor = Expression(text, epochs, steps)
    for step in range(steps + 1):
        factor(step)


def _as_text(given: Any) -> Any:
    return str(float(given)) if type(given) in (int, float) else given


class _Expression(Schedule):
    composable = True

    lr_lambda: Annotated[str, BeforeValidator(_as_text)]
    """The factor as an expression. `epoch` and `step` count from 0; `epochs` and `steps` are the totals for the run."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        check(self.lr_lambda, epochs, steps)
        resolved |= {"epochs": epochs, "steps": steps}

    def torch_call(self, resolved: Resolved, base_rates: Sequence[float]) -> TorchCall:
        factor = Expression(resolved["lr_lambda"], resolved["epochs"], resolved["steps"])
        return TorchCall(self.class_, {"lr_lambda": factor})


class LambdaLR(_Expression):
    """lr · f(t)

    The factor can be any expression. Source: PyTorch.
    """


class MultiplicativeLR(_Expression):
    """lr · f(1) · f(2) ··· f(t)

    Every step multiplies the rate by a factor, which can be any expression. Source: PyTorch.
    """
