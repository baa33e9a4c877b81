"""The source of the optimizer: a call of torch's class; two of them as one where Muon takes only some weights."""

from typing import Any

from pipeline.export.layout import Bracketed, Raw, call, literal
from pipeline.export.recipe import Recipe, unusual
from pipeline.schedules.schedule_free import ScheduleFree
from pipeline.user_code import is_builder

TOGETHER = '''\
def hidden_matrices(model):
    """Return the weights for Muon: matrices but embeddings, the first and the last."""
    named = model.named_parameters(remove_duplicate=False)
    kernels = [p for _, p in named if p.ndim > 1]
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    embeddings = [layer.weight for layer in model.modules() if isinstance(layer, kinds)]
    others = {id(p) for p in [*kernels[:1], *kernels[-1:], *embeddings]}
    return [p for p in model.parameters() if p.ndim == 2 and id(p) not in others]


def other_weights(model):
    """Return the weights that Muon is not for."""
    hidden = {id(p) for p in hidden_matrices(model)}
    return [p for p in model.parameters() if id(p) not in hidden]


class Together(torch.optim.Optimizer):
    """Several optimizers as one, with the parameter groups and the state of all."""

    def __init__(self, *optimizers):
        first, *others = (each.defaults for each in optimizers)
        common = {k: v for k, v in first.items() if all(k in other for other in others)}
        super().__init__([g for each in optimizers for g in each.param_groups], common)
        self.optimizers = optimizers
        for each in optimizers:
            self.state.update(each.state)
        self._share()

    def __setstate__(self, state):
        super().__setstate__(state)
        self._share()

    def _share(self):
        groups = iter(self.param_groups)
        for each in self.optimizers:
            each.param_groups = [next(groups) for _ in each.param_groups]
            each.state = self.state

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for each in self.optimizers:
            each.step()
        return loss
'''
"""What `pipeline/optimizers/muon.py` has; a test holds that both train to the same bits."""


def optimizer(recipe: Recipe, model: str) -> Bracketed:
    """Return the call of the optimizer of ``model``; what torch's own default says is left out."""
    if isinstance(recipe.schedule, ScheduleFree):
        return _schedule_free(recipe, recipe.schedule, f"{model}.parameters()")
    given = recipe.optimizer.resolve()
    rest = given.pop("rest", None)
    if rest is None:
        return _call(given, f"{model}.parameters()", recipe.lr)
    hidden, others = recipe.base_rates
    del rest["lr"]
    return call(
        "Together",
        _call(given, f"hidden_matrices({model})", hidden),
        _call(rest, f"other_weights({model})", others),
    )


def _schedule_free(recipe: Recipe, schedule: ScheduleFree, weights: str) -> Bracketed:
    """Return the call of the optimizer that the schedule has instead of the recipe's."""
    import schedulefree
    import torch

    used = schedule.optimizer(recipe.optimizer, torch.nn.Linear(1, 1), recipe.lr)
    kind = getattr(schedulefree, type(used).__name__)
    lr = float(f"{recipe.lr * (schedule.lr_factor or 1):.12g}")
    settings = ("momentum", "betas", "eps", "weight_decay")
    chosen = {name: used.defaults[name] for name in settings if name in used.defaults}
    chosen["warmup_steps"] = recipe.resolved["warmup"]
    named = {name: literal(value) for name, value in unusual(kind, chosen)}
    return call(f"schedulefree.{type(used).__name__}", Raw(weights), lr=literal(lr), **named)


def definitions(recipe: Recipe) -> list[str]:
    """Return the lines of what that call needs, two empty lines after them; none for a class of torch."""
    return [*TOGETHER.splitlines(), "", ""] if "rest" in recipe.optimizer.resolve() else []


def _call(given: dict[str, Any], weights: str, lr: float) -> Bracketed:
    import torch

    kind = given.pop("class")
    if is_builder(kind):
        return call(kind.replace(":", "."), Raw(weights), lr=literal(lr), **{key: literal(given[key]) for key in given})
    named = {name: literal(value) for name, value in unusual(getattr(torch.optim, kind), given)}
    return call(f"torch.optim.{kind}", Raw(weights), lr=literal(lr), **named)
