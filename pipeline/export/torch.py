"""Code for a training loop in PyTorch."""

from pipeline.export.layout import lines
from pipeline.export.optimizers import definitions, optimizer
from pipeline.export.page import SCHEDULERS, TORCH, loop, page
from pipeline.export.recipe import Recipe
from pipeline.export.schedulers import Torch

YOURS = "model, loss_function and train_loader"


def code(recipe: Recipe) -> str:
    """Return an optimizer, a scheduler, and the loop that steps both."""
    body = lines(optimizer(recipe, "model"), "optimizer = ")
    if recipe.is_constant:
        return page(
            recipe,
            "PyTorch",
            [TORCH],
            definitions(recipe),
            [*body, "", *loop(recipe)],
            f"{YOURS}. The rate never changes",
        )
    torch = Torch(recipe)
    body += [*lines(torch.scheduler(), "scheduler = "), ""]
    yours = YOURS
    if recipe.schedule.needs_val_loss:
        yours = "model, loss_function, train_loader and validate, which returns the mean validation loss"
        body += loop(recipe, after_epoch=["scheduler.step(validate(model))"])
    elif recipe.by_batch:
        each = "batch" if (recipe.training.accumulate or 1) == 1 else "step"
        body += loop(recipe, after_batch=[f"scheduler.step()  # after every {each}"])
    else:
        body += loop(recipe, after_epoch=["scheduler.step()  # after every epoch"])
    functions = [*definitions(recipe), *torch.definitions()]
    return page(recipe, "PyTorch", [TORCH, SCHEDULERS, *torch.imports], functions, body, yours)
