"""A learning-rate factor written as arithmetic in params.yaml, such as `1 / (1 + 9 * step / steps)`."""

import math
from dataclasses import dataclass
from functools import lru_cache

from simpleeval import SimpleEval

FUNCTIONS = {name: getattr(math, name) for name in ("sqrt", "exp", "log", "cos", "sin")} | {
    "min": min,
    "max": max,
    "abs": abs,
}
NAMES = ("step", "steps", "epoch", "epochs", "pi")


@dataclass
class Expression:
    """A callable from a scheduler's step to a factor.

    A class and not a lambda, because torch saves the attributes of an object in a scheduler's `state_dict`, and
    of a lambda nothing. The text is evaluated by simpleeval: arithmetic alone, no access to Python.
    """

    text: str
    epochs: int
    """Epochs of the run."""
    steps: int
    """Steps of the scheduler in the run."""

    def __call__(self, step: int) -> float:
        """The factor after ``step`` steps.

        Raises:
            ValueError: the text is not arithmetic in the known names, or its value is no finite number from 0.
        """
        epoch = step * self.epochs / self.steps
        names = {"step": step, "steps": self.steps, "epoch": epoch, "epochs": self.epochs, "pi": math.pi}
        try:
            value = float(_evaluate(self.text, names))
        except Exception as error:  # simpleeval passes on whatever the arithmetic raises
            raise ValueError(
                f"{self.text!r} cannot be computed at step {step}: {error}; allowed: arithmetic with "
                f"{', '.join(NAMES)} and {', '.join(FUNCTIONS)}"
            ) from None
        if not 0 <= value < math.inf:
            raise ValueError(f"{self.text!r} is {value:g} at step {step}; allowed: finite numbers from 0")
        return value


def _evaluate(text: str, names: dict[str, float]) -> float:
    value: float = SimpleEval(names=names, functions=FUNCTIONS).eval(text, previously_parsed=_parsed(text))
    return value


@lru_cache(maxsize=64)
def _parsed(text: str) -> object:
    return SimpleEval.parse(text)
