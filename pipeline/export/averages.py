"""The source of an average of the weights: what makes it, what updates it, and what is left at the end."""

from pipeline.errors import UserError
from pipeline.export.layout import Source, call, lines, literal
from pipeline.export.recipe import Recipe

FROM = "from torch.optim.swa_utils import "
UPDATE = "averaged.update_parameters(model)"
STATISTICS = "update_bn(train_loader, averaged)"


def imports(recipe: Recipe, *others: str) -> list[str]:
    """Return the import of what torch's average needs, ``others`` among it; none without an average."""
    if recipe.average is None:
        return []
    return imports_of(*others, *(["get_ema_multi_avg_fn"] if recipe.average["kind"] == "ema" else []))


def imports_of(*names: str) -> list[str]:
    """Return the import of ``names`` from where torch has its averages."""
    return [FROM + ", ".join(sorted(names, key=lambda name: (name[0].islower(), name)))]


def function(recipe: Recipe) -> dict[str, Source]:
    """Return the argument of torch's and Lightning's averages that says how to average."""
    assert recipe.average is not None
    if recipe.average["kind"] == "swa":
        return {}
    return {"multi_avg_fn": call("get_ema_multi_avg_fn", literal(recipe.average["decay"]))}


def made(recipe: Recipe, model: Source) -> list[str]:
    """Return the lines that make torch's average; none without one."""
    return lines(call("AveragedModel", model, **function(recipe)), "averaged = ") if recipe.average else []


def after_batch(recipe: Recipe) -> list[str]:
    """Return the lines that update torch's average after a batch."""
    return [UPDATE] if recipe.average and recipe.average["kind"] == "ema" else []


def after_epoch(recipe: Recipe) -> list[str]:
    """Return the lines that update torch's average after an epoch."""
    if recipe.average is None or recipe.average["kind"] == "ema":
        return []
    return [f"if epoch + 1 >= {recipe.average['start']}:", f"    {UPDATE}"]


def validated(recipe: Recipe) -> tuple[list[str], str]:
    """Return the network that is validated after an epoch, and the lines that get it ready."""
    if recipe.average is None:
        return [], "model"
    if recipe.average["kind"] == "ema":
        return [STATISTICS], "averaged"
    return [f"    {STATISTICS}"], f"averaged if epoch + 1 >= {recipe.average['start']} else model"


def at_the_end(recipe: Recipe, name: str = "averaged") -> list[str]:
    """Return the lines after the training loop."""
    if recipe.average is None:
        return []
    return [f"update_bn(train_loader, {name})  # of batch norm", f"model = {name}.module  # the network to use"]


def refuse(recipe: Recipe, library: str, kind: str, lacks: str) -> None:
    """Raise an error if the schedule has an average of a kind that a library cannot compute.

    Args:
        recipe: what is exported.
        library: its name.
        kind: of average.
        lacks: what it does not have.

    Raises:
        UserError: the schedule needs that.
    """
    if recipe.average and recipe.average["kind"] == kind:
        raise UserError(f"export: {library} has no {lacks}, which {recipe.scheduler} needs; allowed: --to torch")
