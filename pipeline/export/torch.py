"""Code for a training loop in PyTorch."""

from pipeline.export import averages
from pipeline.export.layout import Raw, lines
from pipeline.export.optimizers import definitions, optimizer
from pipeline.export.page import SCHEDULERS, TORCH, loop, page
from pipeline.export.recipe import Recipe
from pipeline.export.schedulers import Torch

YOURS = "model, loss_function and train_loader"


def code(recipe: Recipe) -> str:
    """Return an optimizer, a scheduler, and the loop that steps both; an average of the weights, if there is one."""
    torch, yours = Torch(recipe), YOURS
    body = lines(optimizer(recipe, "model"), "optimizer = ")
    after_batch, after_epoch = averages.after_batch(recipe), averages.after_epoch(recipe)
    if recipe.has_scheduler:
        body += lines(torch.scheduler(), "scheduler = ")
    if recipe.schedule.needs_val_loss:
        yours = "model, loss_function, train_loader and validate, which returns the mean validation loss"
        ready, validated = averages.validated(recipe)
        after_epoch += [*ready, f"scheduler.step(validate({validated}))"]
    elif recipe.has_scheduler and recipe.by_batch:
        each = "batch" if (recipe.training.accumulate or 1) == 1 else "step"
        after_batch.append(f"scheduler.step()  # after every {each}")
    elif recipe.has_scheduler:
        after_epoch.append("scheduler.step()  # after every epoch")
    if recipe.is_constant:
        yours += ". The rate never changes"
    body += [*averages.made(recipe, Raw("model")), "", *loop(recipe, after_batch, after_epoch)]
    body += averages.at_the_end(recipe)
    imports = [TORCH, SCHEDULERS, *torch.imports, *averages.imports(recipe, "AveragedModel", "update_bn")]
    return page(recipe, "PyTorch", imports, [*definitions(recipe), *torch.definitions()], body, yours)
