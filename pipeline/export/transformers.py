"""Code for Transformers' Trainer, which steps a scheduler after every batch.

Where Trainer has the schedule under a name, `lr_scheduler_type` names it; else Trainer gets torch's scheduler.
A schedule that goes by epochs is held back to one step an epoch.
"""

from collections.abc import Callable
from typing import Any

from pipeline.export import averages
from pipeline.export.layout import Raw, Source, call, lines, literal, mapping
from pipeline.export.optimizers import definitions, optimizer
from pipeline.export.page import SCHEDULERS, TORCH, page
from pipeline.export.recipe import Named, Recipe, named, share_of_lr, torch_arguments
from pipeline.export.schedulers import Torch
from pipeline.schedules.annealing import CosineAnnealingLR, LinearLR, PolynomialLR
from pipeline.schedules.modern import InverseSqrt, LinearToZero, WarmupStableDecay
from pipeline.schedules.schedule_free import ScheduleFree
from pipeline.schedules.stepped import Constant, ReduceLROnPlateau

TRAINER = "from transformers import Trainer, TrainingArguments"
NAMED_BY_EPOCH = '''\
class EpochTrainer(Trainer):
    """Changes the rate once an epoch; Trainer itself would after every batch."""

    def create_scheduler(self, num_training_steps, optimizer=None):
        scheduler = super().create_scheduler(EPOCHS, optimizer)
        scheduler.lr_lambdas = [
            lambda step, factor=factor: factor(step // STEPS_PER_EPOCH)
            for factor in scheduler.lr_lambdas
        ]
        return scheduler
'''
BY_EPOCH = '''\
class OncePerEpoch:
    """Trainer steps a scheduler after every batch; this one moves once an epoch."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.batches = 0

    def step(self):
        self.batches += 1
        if self.batches % STEPS_PER_EPOCH == 0:
            self.scheduler.step()

    def get_last_lr(self):
        return self.scheduler.get_last_lr()

    def state_dict(self):
        return {"scheduler": self.scheduler.state_dict(), "batches": self.batches}

    def load_state_dict(self, state_dict):
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self.batches = state_dict["batches"]
'''


def code(recipe: Recipe) -> str:
    """Return the arguments of a Trainer with the schedule, and the Trainer."""
    for kind in ("ema", "swa"):
        averages.refuse(recipe, "Transformers' Trainer", kind, "average of the weights")
    torch, found = Torch(recipe), named(recipe, OWN)
    by_epoch = not recipe.by_batch and recipe.has_scheduler and not recipe.schedule.needs_val_loss
    functions: list[str] = []
    trainer, scheduler = "Trainer", "None"
    body = lines(optimizer(recipe, "model"), "optimizer = ")
    arguments: dict[str, Source] = {
        "output_dir": literal("output"),
        "num_train_epochs": Raw("EPOCHS"),
        "per_device_train_batch_size": literal(recipe.batch_size),
    }
    if found is not None:
        kind, settings = found
        arguments["lr_scheduler_type"] = literal(kind)
        if settings:
            arguments["lr_scheduler_kwargs"] = mapping(settings)
        if by_epoch:
            functions, trainer = [*NAMED_BY_EPOCH.splitlines(), "", ""], "EpochTrainer"
    else:
        source, scheduler = torch.scheduler(), "scheduler"
        functions = torch.definitions()
        if by_epoch:
            source = call("OncePerEpoch", source)
            functions += [*BY_EPOCH.splitlines(), "", ""]
        body += lines(source, "scheduler = ")
    data = {"train_dataset": Raw("train_dataset")}
    yours = "model and train_dataset"
    if recipe.schedule.needs_val_loss:
        arguments |= {"eval_strategy": literal("epoch"), "metric_for_best_model": literal("eval_loss")}
        data["eval_dataset"] = Raw("eval_dataset")
        yours = "model, train_dataset and eval_dataset"
    body += lines(call("TrainingArguments", **arguments), "arguments = ")
    optimizers = Raw(f"(optimizer, {scheduler})")
    made = call(trainer, model=Raw("model"), args=Raw("arguments"), **data, optimizers=optimizers)
    body += [*lines(made, "trainer = "), "trainer.train()"]
    if recipe.is_constant:
        yours += ". The rate never changes"
    imports = [TRAINER, TORCH, SCHEDULERS, *torch.imports]
    return page(recipe, "Transformers", imports, [*definitions(recipe), *functions], body, yours)


def _constant(recipe: Recipe, schedule: Constant | ScheduleFree) -> Named:
    return "constant", {}


def _cosine(recipe: Recipe, schedule: CosineAnnealingLR) -> Named | None:
    if recipe.resolved["T_max"] != recipe.steps:
        return None
    return "cosine_with_min_lr", {"min_lr": literal(schedule.eta_min)}


def _polynomial(recipe: Recipe, schedule: PolynomialLR) -> Named | None:
    if recipe.resolved["total_iters"] != recipe.steps:
        return None
    return "polynomial", {"lr_end": Raw("0.0"), "power": literal(schedule.power)}


def _linear(recipe: Recipe, schedule: LinearLR) -> Named | None:
    falls = schedule.end_factor < schedule.start_factor == 1
    if not falls or recipe.resolved["total_iters"] != recipe.steps:
        return None
    return "polynomial", {"lr_end": share_of_lr(recipe, schedule.end_factor), "power": Raw("1.0")}


# Trainer's warm-ups begin at 0, ours at a share of the rate: without a warm-up they are the same.
def _linear_to_zero(recipe: Recipe, schedule: LinearToZero) -> Named | None:
    return None if recipe.resolved["warmup"] else ("linear", {})


def _stable_decay(recipe: Recipe, schedule: WarmupStableDecay) -> Named | None:
    if recipe.resolved["warmup"]:
        return None
    decay: dict[str, Source] = {
        "num_decay_steps": literal(recipe.resolved["decay"]),
        "decay_type": literal(schedule.shape),
    }
    return "warmup_stable_decay", decay


def _inverse_sqrt(recipe: Recipe, schedule: InverseSqrt) -> Named | None:
    return ("inverse_sqrt", {"timescale": Raw("1")}) if recipe.resolved["warmup"] == 1 else None


def _plateau(recipe: Recipe, schedule: ReduceLROnPlateau) -> Named:
    return "reduce_lr_on_plateau", torch_arguments(recipe, schedule)


OWN: dict[type, Callable[[Recipe, Any], Named | None]] = {
    Constant: _constant,
    ScheduleFree: _constant,  # Trainer calls the optimizer's `train` and `eval`
    CosineAnnealingLR: _cosine,
    PolynomialLR: _polynomial,
    LinearLR: _linear,
    LinearToZero: _linear_to_zero,
    WarmupStableDecay: _stable_decay,
    InverseSqrt: _inverse_sqrt,
    ReduceLROnPlateau: _plateau,
}
"""Schedules that Trainer knows by a name, if their curves are the same."""
