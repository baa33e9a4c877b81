"""What the code for every library has: the remarks, the imports, the constants, the functions; then its own part."""

from collections.abc import Iterable, Sequence

from pipeline.export.layout import comment
from pipeline.export.recipe import EPOCHS, STEPS_PER_EPOCH, Recipe

TORCH, SCHEDULERS = "import torch", "from torch.optim import lr_scheduler"
SCHEDULE_FREE = "import schedulefree"


def page(
    recipe: Recipe,
    library: str,
    imports: Iterable[str],
    functions: Sequence[str],
    body: Sequence[str],
    yours: str,
) -> str:
    """Return the whole code.

    Args:
        recipe: what it is for.
        library: its name, as people write it.
        imports: import statements of other packages that it may need; `lr_scheduler` and torch only if the code uses
            them.
        functions: lines of functions and classes, each with two empty lines after it.
        body: the other lines.
        yours: the names that the code takes from the user.
    """
    text = "\n".join([*functions, *body])
    optional = {SCHEDULERS: "lr_scheduler.", SCHEDULE_FREE: "schedulefree.", TORCH: "torch."}
    needed = [each for each in [*imports, SCHEDULE_FREE] if optional.get(each, "") in text]
    standard = ["import math", ""] if "math." in text else []
    length = f"{_plural(recipe.epochs, 'epoch')} of {_plural(recipe.batches, 'step')}"
    head = [f"{recipe.scheduler} with {library}: {length}, base LR {recipe.lr:g}.", *recipe.remarks]
    about = [line for remark in head for line in comment(remark)]
    ordered = sorted(needed, key=lambda line: (line.startswith("from"), line.lower()))
    constants = recipe.constants(STEPS_PER_EPOCH in text)
    spacing = ["", ""] if functions else [""]
    own = comment(f"Yours: {yours}.")
    return "\n".join([*about, *standard, *ordered, "", *constants, *spacing, *functions, *own, *body]) + "\n"


def loop(recipe: Recipe, after_batch: Sequence[str] = (), after_epoch: Sequence[str] = ()) -> list[str]:
    """Return the lines of a training loop, with what steps the scheduler after a batch and after an epoch."""
    return [
        f"for epoch in range({EPOCHS}):",
        "    model.train()",
        *(["    optimizer.train()"] if recipe.is_schedule_free else []),
        "    for inputs, targets in train_loader:",
        "        optimizer.zero_grad()",
        "        loss_function(model(inputs), targets).backward()",
        "        optimizer.step()",
        *(f"        {line}" for line in after_batch),
        *(["    optimizer.eval()  # the average: validate and save now"] if recipe.is_schedule_free else []),
        *(f"    {line}" for line in after_epoch),
        *(["torch.optim.swa_utils.update_bn(train_loader, model)  # of batch norm"] if recipe.is_schedule_free else []),
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
