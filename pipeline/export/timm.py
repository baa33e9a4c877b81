"""Code for a loop that steps as timm's does: `step(epoch)` after an epoch, `step_update(updates)` after a batch."""

import math
from collections.abc import Callable
from typing import Any

from pipeline.export import averages
from pipeline.export.layout import Raw, Source, call, lines, listed, literal
from pipeline.export.optimizers import definitions, optimizer
from pipeline.export.page import SCHEDULERS, TORCH, loop, page
from pipeline.export.recipe import Named, Recipe, named, share_of_lr
from pipeline.export.schedulers import Torch
from pipeline.schedules.annealing import CosineAnnealingLR, LinearLR, PolynomialLR
from pipeline.schedules.cyclic import CosineAnnealingWarmRestarts
from pipeline.schedules.modern import LinearToZero, WarmupCosine, WarmupStableDecay
from pipeline.schedules.stepped import MultiStepLR, StepLR

YOURS = "model, loss_function and train_loader"
REMARKS = {"MultiStepLRScheduler": ["# timm drops the rate one step before a milestone: these are one more."]}
BY_EPOCH = """\
    def step(self, epoch, metric=None):
        self.scheduler.step()

    def step_update(self, num_updates, metric=None):
        pass  # the rate changes once an epoch
"""
BY_BATCH = """\
    def step(self, epoch, metric=None):
        pass  # the rate changes after every batch

    def step_update(self, num_updates, metric=None):
        self.scheduler.step()
"""
STATE = """
    def state_dict(self):
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict):
        self.scheduler.load_state_dict(state_dict)

    def _get_lr(self, t):
        return self.scheduler.get_last_lr()
"""


def code(recipe: Recipe) -> str:
    """Return timm's own scheduler where it has the schedule, else one that steps torch's; and the loop."""
    averages.refuse(recipe, "timm", "swa", "equal average of the weights")
    body = lines(optimizer(recipe, "model"), "optimizer = ")
    imports, functions, yours, metric = [TORCH, SCHEDULERS], definitions(recipe), YOURS, ""
    found = named(recipe, OWN)
    if not recipe.has_scheduler:
        yours += ". The rate never changes" if recipe.is_constant else ""
    elif found is not None:
        kind, arguments = found
        if recipe.by_batch:
            arguments["t_in_epochs"] = Raw("False")
        imports.append(f"from timm.scheduler import {kind}")
        body += REMARKS.get(kind, [])
        body += lines(call(kind, Raw("optimizer"), **arguments), "scheduler = ")
    else:
        torch = Torch(recipe)
        functions += _wrapper(recipe, torch)
        imports += ["from timm.scheduler.scheduler import Scheduler", *torch.imports]
        body.append("scheduler = TorchScheduler(optimizer)")
    after_batch, after_epoch = [], []
    if recipe.average:
        imports += ["from timm.utils import ModelEmaV3", *averages.imports_of("update_bn")]
        decay = literal(recipe.average["decay"])
        body += lines(call("ModelEmaV3", Raw("model"), decay=decay, exclude_buffers=Raw("True")), "averaged = ")
        after_batch.append("averaged.update(model, step=updates)")
    if recipe.schedule.needs_val_loss:
        yours = "model, loss_function, train_loader and validate, which returns the mean validation loss"
        ready, validated = averages.validated(recipe)
        after_epoch += ready
        metric = f", validate({validated})"
    if recipe.has_scheduler and recipe.by_batch:
        after_batch.append("scheduler.step_update(updates)")
    elif recipe.has_scheduler:
        after_epoch.append(f"scheduler.step(epoch + 1{metric})")
    body += ["updates = 0", ""] if after_batch else [""]
    body += loop(recipe, ["updates += 1", *after_batch] if after_batch else [], after_epoch)
    body += averages.at_the_end(recipe)
    return page(recipe, "timm", imports, functions, body, yours)


def _wrapper(recipe: Recipe, torch: Torch) -> list[str]:
    """Return a class that steps torch's scheduler when timm steps its own."""
    scheduler = lines(torch.scheduler(), "self.scheduler = ", indent=8)
    steps = BY_BATCH if recipe.by_batch else BY_EPOCH
    if recipe.schedule.needs_val_loss:
        steps = steps.replace("scheduler.step()", "scheduler.step(metric)")
    return [
        *torch.definitions(),
        "class TorchScheduler(Scheduler):",
        '    """torch\'s scheduler, stepped when timm steps its own."""',
        "",
        "    def __init__(self, optimizer):",
        *scheduler,
        '        super().__init__(optimizer, "lr")  # sets the base rate',
        "        self.update_groups(self.scheduler.get_last_lr())",
        "",
        *(steps + STATE).splitlines(),
        "",
        "",
    ]


def _warmup(recipe: Recipe) -> dict[str, Source]:
    """Return the arguments of a warm-up before the rest of the schedule."""
    warmup = recipe.resolved["warmup"]
    if warmup == 0:
        return {}
    start = share_of_lr(recipe, recipe.resolved["start_factor"])
    return {"warmup_t": literal(warmup), "warmup_lr_init": start, "warmup_prefix": Raw("True")}


def _step(recipe: Recipe, schedule: StepLR) -> Named:
    return "StepLRScheduler", {
        "decay_t": Raw(recipe.length(schedule.step_size)),
        "decay_rate": literal(schedule.gamma),
    }


def _multistep(recipe: Recipe, schedule: MultiStepLR) -> Named:
    milestones = listed(literal(milestone + 1) for milestone in recipe.resolved["milestones"])
    return "MultiStepLRScheduler", {"decay_t": milestones, "decay_rate": literal(schedule.gamma)}


def _cosine(recipe: Recipe, schedule: CosineAnnealingLR) -> Named | None:
    if recipe.resolved["T_max"] < recipe.steps:  # torch's rises again, timm's stays
        return None
    length = Raw(recipe.length(schedule.T_max))
    return "CosineLRScheduler", {"t_initial": length, "lr_min": literal(schedule.eta_min)}


def _restarts(recipe: Recipe, schedule: CosineAnnealingWarmRestarts) -> Named | None:
    if schedule.T_mult != 1:  # timm finds a growing cycle by a logarithm, which rounds
        return None
    cycles = math.ceil(recipe.steps / recipe.resolved["T_0"])
    return "CosineLRScheduler", {
        "t_initial": Raw(recipe.length(schedule.T_0)),
        "lr_min": literal(schedule.eta_min),
        "cycle_limit": literal(cycles),
    }


def _warmup_cosine(recipe: Recipe, schedule: WarmupCosine) -> Named:
    left = recipe.left_after(recipe.resolved["warmup"])
    return "CosineLRScheduler", {"t_initial": left, "lr_min": literal(schedule.eta_min), **_warmup(recipe)}


def _polynomial(recipe: Recipe, schedule: PolynomialLR) -> Named:
    length = Raw(recipe.length(schedule.total_iters))
    return "PolyLRScheduler", {"t_initial": length, "power": literal(schedule.power)}


def _linear(recipe: Recipe, schedule: LinearLR) -> Named | None:
    if schedule.start_factor != 1:
        return None
    low = share_of_lr(recipe, schedule.end_factor)
    return "PolyLRScheduler", {
        "t_initial": Raw(recipe.length(schedule.total_iters)),
        "power": Raw("1.0"),
        "lr_min": low,
    }


def _linear_to_zero(recipe: Recipe, schedule: LinearToZero) -> Named:
    left = recipe.left_after(recipe.resolved["warmup"])
    return "PolyLRScheduler", {"t_initial": left, "power": Raw("1.0"), **_warmup(recipe)}


def _stable_decay(recipe: Recipe, schedule: WarmupStableDecay) -> Named:
    warmup = _warmup(recipe)
    warmup.pop("warmup_prefix", None)  # it always is one
    return "WSDLRScheduler", {
        "t_initial": recipe.left_after(recipe.resolved["warmup"]),
        "decay_t": literal(recipe.resolved["decay"]),
        "decay_fn": literal(schedule.shape),
        **warmup,
    }


OWN: dict[type, Callable[[Recipe, Any], Named | None]] = {
    StepLR: _step,
    MultiStepLR: _multistep,
    CosineAnnealingLR: _cosine,
    CosineAnnealingWarmRestarts: _restarts,
    WarmupCosine: _warmup_cosine,
    PolynomialLR: _polynomial,
    LinearLR: _linear,
    LinearToZero: _linear_to_zero,
    WarmupStableDecay: _stable_decay,
}
"""timm's own schedules. Its plateau is left out: it is deprecated, and has neither `eps` nor `threshold_mode`."""
