"""Writes code for Transformers' Trainer, which steps a scheduler after every batch.

If Trainer has a schedule with the recipe's curve, the code names this schedule in `lr_scheduler_type`. Otherwise, the
code passes torch's scheduler to Trainer, in a wrapper if the rate changes only once per epoch.
"""

from typing import Any

from pipeline.export import average_code
from pipeline.export.formatting import Raw, call, lines
from pipeline.export.optimizer_code import optimizer
from pipeline.export.recipe import Named, Recipe, share_of_lr, unusual
from pipeline.export.scheduler_code import SchedulerCode
from pipeline.export.script import script
from pipeline.schedules.annealing import CosineAnnealingLR, LinearLR, PolynomialLR
from pipeline.schedules.base import arguments
from pipeline.schedules.modern import InverseSqrt, LinearToZero, WarmupStableDecay
from pipeline.schedules.schedule_free import ScheduleFree
from pipeline.schedules.stepped import Constant, ReduceLROnPlateau

TRAINER = "from transformers import Trainer, TrainingArguments"
NAMED_BY_EPOCH = '''\
class EpochTrainer(Trainer):
    """A Trainer that changes the rate once an epoch, not after every batch."""

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
    """A scheduler that moves once an epoch, though Trainer steps every batch."""

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
    """Return code that creates a Trainer with the schedule and starts training."""
    for kind in ("ema", "swa"):
        average_code.refuse(recipe, "Transformers' Trainer", kind, "average of the weights")
    scheduler, trainers = SchedulerCode(recipe), _own(recipe) if recipe.fits_a_library else None
    by_epoch = not recipe.by_batch and recipe.has_scheduler and not recipe.schedule.needs_val_loss
    functions: list[str] = []
    trainer, given = "Trainer", "None"
    body = lines(optimizer(recipe, "model"), "optimizer = ")
    training: dict[str, Any] = {
        "output_dir": "output",
        "num_train_epochs": Raw("EPOCHS"),
        "per_device_train_batch_size": recipe.batch_size,
    }
    if trainers is not None:
        training["lr_scheduler_type"], settings = trainers
        if settings:
            training["lr_scheduler_kwargs"] = settings
        if by_epoch:
            functions, trainer = [*NAMED_BY_EPOCH.splitlines(), "", ""], "EpochTrainer"
    else:
        made, given = scheduler.scheduler(), "scheduler"
        functions = scheduler.definitions()
        if by_epoch:
            made = call("OncePerEpoch", made)
            functions += [*BY_EPOCH.splitlines(), "", ""]
        body += lines(made, "scheduler = ")
    data = {"train_dataset": Raw("train_dataset")}
    yours = "model and train_dataset"
    if recipe.schedule.needs_val_loss:
        training |= {"eval_strategy": "epoch", "metric_for_best_model": "eval_loss"}
        data["eval_dataset"] = Raw("eval_dataset")
        yours = "model, train_dataset and eval_dataset"
    body += lines(call("TrainingArguments", **training), "arguments = ")
    optimizers = Raw(f"(optimizer, {given})")
    body += lines(call(trainer, model=Raw("model"), args=Raw("arguments"), **data, optimizers=optimizers), "trainer = ")
    body.append("trainer.train()")
    return script(recipe, "Transformers", [TRAINER], functions, body, yours)


def _own(recipe: Recipe) -> Named | None:
    """Return the name and arguments of Trainer's schedule with the recipe's curve, or None if Trainer has none.

    Trainer's warm-ups begin at a rate of 0, but this project's warm-ups begin at a share of the base rate. The
    curves are therefore the same only if there is no warm-up.
    """
    schedule, resolved = recipe.schedule, recipe.resolved
    match schedule:
        case Constant() | ScheduleFree():  # Trainer itself calls the Schedule-Free optimizer's `train` and `eval`
            return "constant", {}
        case CosineAnnealingLR() if resolved["T_max"] == recipe.steps:
            return "cosine_with_min_lr", {"min_lr": schedule.eta_min}
        case PolynomialLR() if resolved["total_iters"] == recipe.steps:
            return "polynomial", {"lr_end": 0.0, "power": schedule.power}
        case LinearLR(start_factor=1) if schedule.end_factor < 1 and resolved["total_iters"] == recipe.steps:
            return "polynomial", {"lr_end": share_of_lr(recipe, schedule.end_factor), "power": 1.0}
        case LinearToZero() if resolved["warmup"] == 0:
            return "linear", {}
        case WarmupStableDecay() if resolved["warmup"] == 0:
            return "warmup_stable_decay", {"num_decay_steps": resolved["decay"], "decay_type": schedule.shape}
        case InverseSqrt() if resolved["warmup"] == 1:
            return "inverse_sqrt", {"timescale": 1}
        case ReduceLROnPlateau():
            from torch.optim import lr_scheduler

            return "reduce_lr_on_plateau", dict(unusual(lr_scheduler.ReduceLROnPlateau, arguments(resolved)))
    return None
