"""Writes code for timm, whose schedulers have a method `step` for epochs and a method `step_update` for batches."""

import math
from typing import Any

from pipeline.export import average_code
from pipeline.export.formatting import Raw, call, lines
from pipeline.export.optimizer_code import optimizer
from pipeline.export.recipe import Named, Recipe, share_of_lr
from pipeline.export.scheduler_code import SchedulerCode
from pipeline.export.script import loop, script
from pipeline.schedules.annealing import CosineAnnealingLR, LinearLR, PolynomialLR
from pipeline.schedules.cyclic import CosineAnnealingWarmRestarts
from pipeline.schedules.modern import LinearToZero, WarmupCosine, WarmupStableDecay
from pipeline.schedules.stepped import MultiStepLR, StepLR

REMARKS = {"MultiStepLRScheduler": ["# timm drops the rate one step before a milestone, so these are one step later."]}
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
    """Return code that trains with timm's own scheduler.

    If timm has no scheduler with the recipe's curve, the code wraps torch's scheduler.
    """
    average_code.refuse(recipe, "timm", "swa", "equal average of the weights")
    body = lines(optimizer(recipe, "model"), "optimizer = ")
    imports: list[str] = []
    functions: list[str] = []
    yours, metric = "model, loss_function and train_loader", ""
    timms = _own(recipe) if recipe.fits_a_library else None
    if timms is not None:
        kind, arguments = timms
        if recipe.by_batch:
            arguments["t_in_epochs"] = False
        imports.append(f"from timm.scheduler import {kind}")
        body += REMARKS.get(kind, [])
        body += lines(call(kind, Raw("optimizer"), **arguments), "scheduler = ")
    elif recipe.has_scheduler:
        functions = _wrapper(recipe)
        imports.append("from timm.scheduler.scheduler import Scheduler")
        body.append("scheduler = TorchScheduler(optimizer)")
    after_batch, after_epoch = [], []
    if recipe.average:
        imports += ["from timm.utils import ModelEmaV3", "from torch.optim.swa_utils import update_bn"]
        made = call("ModelEmaV3", Raw("model"), decay=recipe.average["decay"], exclude_buffers=True)
        body += lines(made, "averaged = ")
        after_batch.append("averaged.update(model, step=updates)")
    if recipe.schedule.needs_val_loss:
        yours = "model, loss_function, train_loader and validate, which returns the mean validation loss"
        ready, validated = average_code.validated(recipe)
        after_epoch += ready
        metric = f", validate({validated})"
    if recipe.has_scheduler and recipe.by_batch:
        after_batch.append("scheduler.step_update(updates)")
    elif recipe.has_scheduler:
        after_epoch.append(f"scheduler.step(epoch + 1{metric})")
    body += ["updates = 0", ""] if after_batch else [""]
    body += loop(recipe, ["updates += 1", *after_batch] if after_batch else [], after_epoch)
    body += average_code.at_the_end(recipe)
    return script(recipe, "timm", imports, functions, body, yours)


def _wrapper(recipe: Recipe) -> list[str]:
    """Return the lines of a class that gives torch's scheduler the methods of timm's schedulers."""
    scheduler = SchedulerCode(recipe)
    made = lines(scheduler.scheduler(), "self.scheduler = ", indent=8)
    steps = BY_BATCH if recipe.by_batch else BY_EPOCH
    if recipe.schedule.needs_val_loss:
        steps = steps.replace("scheduler.step()", "scheduler.step(metric)")
    return [
        *scheduler.definitions(),
        "class TorchScheduler(Scheduler):",
        '    """torch\'s scheduler, stepped when timm steps its own."""',
        "",
        "    def __init__(self, optimizer):",
        *made,
        '        super().__init__(optimizer, "lr")  # sets the base rate',
        "        self.update_groups(self.scheduler.get_last_lr())",
        "",
        *(steps + STATE).splitlines(),
        "",
        "",
    ]


def _own(recipe: Recipe) -> Named | None:
    """Return timm's schedule with the recipe's curve, or None if timm has no such schedule.

    Timm's plateau schedule is not used, because it is deprecated and has neither `eps` nor `threshold_mode`.
    """
    schedule, resolved = recipe.schedule, recipe.resolved
    match schedule:
        case StepLR():
            return "StepLRScheduler", {"decay_t": resolved["step_size"], "decay_rate": schedule.gamma}
        case MultiStepLR():
            milestones = [milestone + 1 for milestone in resolved["milestones"]]
            return "MultiStepLRScheduler", {"decay_t": milestones, "decay_rate": schedule.gamma}
        case CosineAnnealingLR() if resolved["T_max"] >= recipe.steps:  # after T_max, only torch's rate rises again
            return "CosineLRScheduler", {"t_initial": resolved["T_max"], "lr_min": schedule.eta_min}
        case CosineAnnealingWarmRestarts(T_mult=1):  # for growing cycles, timm's rounding differs from torch's
            cycles = math.ceil(recipe.steps / resolved["T_0"])
            lengths = {"t_initial": resolved["T_0"], "lr_min": schedule.eta_min, "cycle_limit": cycles}
            return "CosineLRScheduler", lengths
        case WarmupCosine():
            left = resolved["steps"] - resolved["warmup"]
            return "CosineLRScheduler", {"t_initial": left, "lr_min": schedule.eta_min, **_warmup(recipe)}
        case PolynomialLR():
            return "PolyLRScheduler", {"t_initial": resolved["total_iters"], "power": schedule.power}
        case LinearLR(start_factor=1):
            low = share_of_lr(recipe, schedule.end_factor)
            return "PolyLRScheduler", {"t_initial": resolved["total_iters"], "power": 1.0, "lr_min": low}
        case LinearToZero():
            left = resolved["steps"] - resolved["warmup"]
            return "PolyLRScheduler", {"t_initial": left, "power": 1.0, **_warmup(recipe)}
        case WarmupStableDecay():
            warmup = _warmup(recipe)
            warmup.pop("warmup_prefix", None)  # in WSDLRScheduler, the warm-up always comes before the other phases
            left, decay = resolved["steps"] - resolved["warmup"], resolved["decay"]
            return "WSDLRScheduler", {"t_initial": left, "decay_t": decay, "decay_fn": schedule.shape, **warmup}
    return None


def _warmup(recipe: Recipe) -> dict[str, Any]:
    """Return timm's arguments for the warm-up, or an empty dictionary if the schedule has no warm-up."""
    if recipe.resolved["warmup"] == 0:
        return {}
    start = share_of_lr(recipe, recipe.resolved["start_factor"])
    return {"warmup_t": recipe.resolved["warmup"], "warmup_lr_init": start, "warmup_prefix": True}
