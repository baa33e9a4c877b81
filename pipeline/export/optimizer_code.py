"""Writes the part of exported code that creates the optimizer.

For most optimizers, the code calls torch's class. Muon trains only the hidden matrices, so the code for Muon also
creates the optimizer for the other weights.
"""

import inspect
from typing import Any

from pipeline.export.formatting import Bracketed, Raw, call
from pipeline.export.recipe import Recipe, share_of_lr, unusual
from pipeline.schedules.schedule_free import ScheduleFree
from pipeline.user_code import is_builder


def optimizer(recipe: Recipe, model: str) -> Bracketed:
    """Return the call that creates the optimizer. ``model`` is the name of the network in the exported code.

    The call omits arguments that equal torch's defaults.
    """
    if isinstance(recipe.schedule, ScheduleFree):
        return _schedule_free(recipe, recipe.schedule, f"{model}.parameters()")
    settings = recipe.optimizer.resolve()
    rest = settings.pop("rest", None)
    if rest is None:
        return _call(settings, f"{model}.parameters()", recipe.lr)
    hidden, others = recipe.base_rates
    del rest["lr"]
    return call(
        "Together",
        _call(settings, f"hidden_matrices({model})", hidden),
        _call(rest, f"other_weights({model})", others),
    )


def definitions(recipe: Recipe) -> list[str]:
    """Return the source lines of the functions and the class that Muon needs, with two empty lines after each of them.

    For other optimizers, the list is empty.
    """
    if "rest" not in recipe.optimizer.resolve():
        return []
    from pipeline.optimizers._together import Together, hidden_matrices, other_weights

    needed = (hidden_matrices, other_weights, Together)
    return [line for item in needed for line in (*inspect.getsource(item).splitlines(), "", "")]


def _schedule_free(recipe: Recipe, schedule: ScheduleFree, weights: str) -> Bracketed:
    """Return the call that creates the Schedule-Free optimizer, which replaces the run's optimizer."""
    import schedulefree
    import torch

    built = schedule.optimizer(recipe.optimizer, torch.nn.Linear(1, 1), recipe.lr)
    kind = getattr(schedulefree, type(built).__name__)
    settings = ("momentum", "betas", "eps", "weight_decay")
    chosen = {name: built.defaults[name] for name in settings if name in built.defaults}
    chosen["warmup_steps"] = recipe.resolved["warmup"]
    lr = share_of_lr(recipe, schedule.lr_factor or 1)
    return call(f"schedulefree.{kind.__name__}", Raw(weights), lr=lr, **dict(unusual(kind, chosen)))


def _call(settings: dict[str, Any], weights: str, lr: float) -> Bracketed:
    import torch

    kind = settings.pop("class")
    if is_builder(kind):
        return call(kind.replace(":", "."), Raw(weights), lr=lr, **settings)
    return call(f"torch.optim.{kind}", Raw(weights), lr=lr, **dict(unusual(getattr(torch.optim, kind), settings)))
