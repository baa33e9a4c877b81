"""Writes the code that creates the scheduler, with the same call that the schedule's method `build` makes."""

import ast
import inspect
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.export.formatting import Raw, Source, as_source, call
from pipeline.export.recipe import Recipe, unusual
from pipeline.schedules.base import arguments
from pipeline.schedules.expression import FUNCTIONS, Expression
from pipeline.schedules.torch_call import TorchCall

OPTIMIZER = Raw("optimizer")
MANY = 4
"""If a scheduler has more than this number of settings, the code omits those that equal torch's defaults."""


@dataclass
class SchedulerCode:
    """The source of a recipe's scheduler and of the functions that the scheduler needs."""

    recipe: Recipe
    functions: dict[str, str] = field(default_factory=dict)
    """Maps the name of each function to its source. The method `scheduler` fills this dictionary."""

    def scheduler(self) -> Source:
        """Return the source of the scheduler, and put the functions that it needs into `functions`."""
        schedule, resolved = self.recipe.schedule, self.recipe.resolved
        if schedule.own:
            return call(schedule.class_.replace(":", "."), OPTIMIZER, **arguments(resolved))
        return self._written(schedule.torch_call(resolved, self.recipe.base_rates))

    def definitions(self) -> list[str]:
        """Return the lines of all functions in `functions`, with two empty lines after each function."""
        return [line for source in self.functions.values() for line in (*source.splitlines(), "", "")]

    def _written(self, value: Any) -> Source:
        """Return the source of a `TorchCall` or of one of its arguments."""
        if isinstance(value, list):
            return as_source([self._written(item) for item in value])
        if isinstance(value, Expression):
            return self._expression(value)
        if isinstance(value, partial):
            return call("partial", self._written(value.func), **value.keywords)
        if inspect.isfunction(value):
            self.functions[value.__name__] = inspect.getsource(value)
            return Raw(value.__name__)
        return self._call(value) if isinstance(value, TorchCall) else as_source(value)

    def _call(self, scheduler: TorchCall) -> Source:
        from torch.optim import lr_scheduler

        settings = scheduler.arguments
        if len(settings) > MANY:
            settings = dict(unusual(getattr(lr_scheduler, scheduler.class_), settings))
        written = {name: self._written(value) for name, value in settings.items()}
        if scheduler.class_ == "ChainedScheduler":  # the only class whose first argument is not the optimizer
            return call("lr_scheduler.ChainedScheduler", **written, optimizer=OPTIMIZER)
        return call(f"lr_scheduler.{scheduler.class_}", OPTIMIZER, **written)

    def _expression(self, expression: Expression) -> Raw:
        """Write a Python function that computes ``expression``, add it to `functions`, and return its name."""
        text = " ".join(expression.text.split())
        names = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
        if "epoch" in names:
            names |= {"epochs", "steps"}
        known = {
            "epochs": repr(expression.epochs),
            "steps": repr(expression.steps),
            "epoch": "step * epochs / steps",
            "pi": "math.pi",
            **{name: f"math.{name}" for name in FUNCTIONS if hasattr(math, name)},
        }
        body = [f"{name} = {value}" for name, value in known.items() if name in names]
        lines = "".join(f"    {line}\n" for line in [*body, f"return {text}"])
        name, count = "factor", 1
        while self.functions.get(name, source := f"def {name}(step):\n{lines}") != source:
            count += 1
            name = f"factor_{count}"
        self.functions[name] = source
        return Raw(name)
