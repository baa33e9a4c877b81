"""Writes the lines of exported code that average the weights, which go before, inside and after the training loop."""

from typing import Any

from pipeline.errors import UserError
from pipeline.export.formatting import Raw, call, lines
from pipeline.export.recipe import Recipe

UPDATE = "averaged.update_parameters(model)"
STATISTICS = "update_bn(train_loader, averaged)"


def imports(recipe: Recipe, *others: str) -> list[str]:
    """Return a list with the line that imports ``others`` and, for an EMA, torch's averaging function.

    If the schedule has no average, the list is empty.
    """
    if recipe.average is None:
        return []
    names = [*others, *(["get_ema_multi_avg_fn"] if recipe.average["kind"] == "ema" else [])]
    ordered = sorted(names, key=lambda name: (name[0].islower(), name))
    return [f"from torch.optim.swa_utils import {', '.join(ordered)}"]


def function(recipe: Recipe) -> dict[str, Any]:
    """Return a dictionary with the argument that makes torch's or Lightning's averaging class compute an EMA.

    For SWA, the dictionary is empty, because these classes compute a plain mean by default.
    """
    assert recipe.average is not None
    if recipe.average["kind"] == "swa":
        return {}
    return {"multi_avg_fn": call("get_ema_multi_avg_fn", recipe.average["decay"])}


def made(recipe: Recipe) -> list[str]:
    """Return the lines that create torch's `AveragedModel`, or an empty list if the schedule has no average."""
    return lines(call("AveragedModel", Raw("model"), **function(recipe)), "averaged = ") if recipe.average else []


def after_batch(recipe: Recipe) -> list[str]:
    """Return the lines that update an EMA after each optimizer step, or an empty list if the schedule has no EMA."""
    return [UPDATE] if recipe.average and recipe.average["kind"] == "ema" else []


def after_epoch(recipe: Recipe) -> list[str]:
    """Return the lines that update SWA's mean after each epoch, or an empty list if the schedule has no such mean."""
    if recipe.average is None or recipe.average["kind"] == "ema":
        return []
    return [f"if epoch + 1 >= {recipe.average['start']}:", f"    {UPDATE}"]


def validated(recipe: Recipe) -> tuple[list[str], str]:
    """Return the lines to run before validation, and an expression that gives the network to validate."""
    if recipe.average is None:
        return [], "model"
    if recipe.average["kind"] == "ema":
        return [STATISTICS], "averaged"
    return [f"    {STATISTICS}"], f"averaged if epoch + 1 >= {recipe.average['start']} else model"


def at_the_end(recipe: Recipe) -> list[str]:
    """Return the lines that replace the network with its average after training, or an empty list if it has none."""
    if recipe.average is None:
        return []
    return [f"{STATISTICS}  # for batch norm", "model = averaged.module  # the network to use"]


def refuse(recipe: Recipe, library: str, kind: str, lacks: str) -> None:
    """Raise an error if the schedule has an average that the library cannot compute.

    Args:
        recipe: the schedule to export.
        library: the name of the library.
        kind: the kind of average that the library lacks.
        lacks: what the library lacks, as a noun for the error message.

    Raises:
        UserError: the library cannot compute the schedule's average.
    """
    if recipe.average and recipe.average["kind"] == kind:
        raise UserError(f"export: {library} has no {lacks}, which {recipe.scheduler} needs; allowed: --to torch")
