"""Writes code for PyTorch, including a training loop."""

from pipeline.export import average_code
from pipeline.export.formatting import lines
from pipeline.export.optimizer_code import optimizer
from pipeline.export.recipe import Recipe
from pipeline.export.scheduler_code import SchedulerCode
from pipeline.export.script import loop, script


def code(recipe: Recipe) -> str:
    """Return code that creates the optimizer, the scheduler and any average of the weights, and trains the network."""
    scheduler, yours = SchedulerCode(recipe), "model, loss_function and train_loader"
    body = lines(optimizer(recipe, "model"), "optimizer = ")
    after_batch, after_epoch = average_code.after_batch(recipe), average_code.after_epoch(recipe)
    if recipe.has_scheduler:
        body += lines(scheduler.scheduler(), "scheduler = ")
    if recipe.schedule.needs_val_loss:
        yours = "model, loss_function, train_loader and validate, which returns the mean validation loss"
        ready, validated = average_code.validated(recipe)
        after_epoch += [*ready, f"scheduler.step(validate({validated}))"]
    elif recipe.has_scheduler and recipe.by_batch:
        unit = "batch" if (recipe.training.accumulate or 1) == 1 else "step"
        after_batch.append(f"scheduler.step()  # after every {unit}")
    elif recipe.has_scheduler:
        after_epoch.append("scheduler.step()  # after every epoch")
    body += [*average_code.made(recipe), "", *loop(recipe, after_batch, after_epoch)]
    body += average_code.at_the_end(recipe)
    imports = average_code.imports(recipe, "AveragedModel", "update_bn")
    return script(recipe, "PyTorch", imports, scheduler.definitions(), body, yours)
