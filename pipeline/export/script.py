"""Writes the parts of exported code that are the same for several libraries, such as imports and the training loop."""

from collections.abc import Iterable, Sequence

from pipeline.errors import plural
from pipeline.export import optimizer_code
from pipeline.export.formatting import comment
from pipeline.export.recipe import EPOCHS, STEPS_PER_EPOCH, Recipe
from pipeline.user_code import is_builder

SHOWN = ("clip_grad_norm", "precision", "accumulate")
"""The task settings that the exported training loop applies."""
WITH_A_LOOP = ("PyTorch", "timm")
"""The libraries for which the exported code contains a training loop."""
STANDARD = {"import math": "math.", "from functools import partial": "partial(", "from typing import Any": ": Any"}
PACKAGES = {
    "import schedulefree": "schedulefree.",
    "import torch": "torch.",
    "from torch.optim import lr_scheduler": "lr_scheduler.",
}
"""Maps each import of a third-party package to a text. The import is added if the exported code contains this text.

`STANDARD` does the same for imports from the standard library.
"""


def script(
    recipe: Recipe,
    library: str,
    imports: Iterable[str],
    functions: Sequence[str],
    body: Sequence[str],
    yours: str,
) -> str:
    """Return the complete exported code as one string.

    Args:
        recipe: what to export.
        library: the name of the library as it is usually written, such as `PyTorch`.
        imports: import statements that are in neither `STANDARD` nor `PACKAGES`.
        functions: lines of functions and classes, with two empty lines after each function or class.
        body: the remaining lines of the code.
        yours: the names that the user must define, as text for a comment.
    """
    functions = [*optimizer_code.definitions(recipe), *functions]
    text = "\n".join([*functions, *body])
    builders = filter(is_builder, (recipe.optimizer.class_, recipe.schedule.class_))
    own = [f"import {name.partition(':')[0]}" for name in builders]
    packages = [line for line, sign in PACKAGES.items() if sign in text]
    ordered = sorted({*imports, *packages, *own}, key=lambda line: (line.startswith("from"), line.lower()))
    if standard := [line for line, sign in STANDARD.items() if sign in text]:
        ordered = [*standard, "", *ordered]
    constants = [f"{EPOCHS} = {recipe.epochs}"]
    if STEPS_PER_EPOCH in text:
        constants.append(f"{STEPS_PER_EPOCH} = {recipe.batches}  # optimizer steps in an epoch")
    spacing = ["", ""] if functions else [""]
    takes = comment(f"Yours: {yours}.{' The rate never changes.' if recipe.is_constant else ''}")
    return "\n".join([*_remarks(recipe, library), *ordered, "", *constants, *spacing, *functions, *takes, *body]) + "\n"


def _remarks(recipe: Recipe, library: str) -> list[str]:
    """Return the lines of the comment at the top of the exported code."""
    length = f"{plural(recipe.epochs, 'epoch')} of {plural(recipe.batches, 'step')}"
    remarks = [f"{recipe.scheduler} with {library}: {length}, base LR {recipe.lr:g}.", *recipe.remarks]
    shown = SHOWN if library in WITH_A_LOOP else ()
    if hidden := [line for line in recipe.training.describe_options() if line.partition(" ")[0] not in shown]:
        remarks.append(f"Settings of the task that you must add to this code yourself: {'; '.join(hidden)}.")
    return [line for remark in remarks for line in comment(remark)]


def loop(recipe: Recipe, after_batch: Sequence[str] = (), after_epoch: Sequence[str] = ()) -> list[str]:
    """Return the lines of a training loop. The loop applies the settings in `SHOWN` that the task sets.

    Args:
        recipe: what to export.
        after_batch: lines to run after each optimizer step.
        after_epoch: lines to run after each epoch.
    """
    training, head = recipe.training, ["for inputs, targets in train_loader:"]
    batch = ["loss_function(model(inputs), targets).backward()"]
    step = ["optimizer.step()", *after_batch]
    if training.clip_grad_norm is not None:
        step.insert(0, f"torch.nn.utils.clip_grad_norm_(model.parameters(), {training.clip_grad_norm!r})")
    loss, backward = "loss = loss_function(model(inputs), targets)", "loss.backward()"
    if training.precision == "bfloat16":
        batch = ["with torch.autocast(inputs.device.type, torch.bfloat16):", f"    {loss}", backward]
    if (count := training.accumulate or 1) > 1:
        batch = [loss, backward] if len(batch) == 1 else batch
        batch[-1] = "(loss / together).backward()"
        head = ["for batch, (inputs, targets) in enumerate(train_loader):"]
        batch.insert(0, f"together = min({count}, len(train_loader) - batch // {count} * {count})")
        batch.insert(0, f"# the gradients of {count} batches are averaged; the last step may have fewer")
        step = [*step[: -len(after_batch) or None], "optimizer.zero_grad()", *after_batch]
        step = [f"if batch % {count} == together - 1:", *(f"    {line}" for line in step)]
        head.insert(0, "optimizer.zero_grad()")
    else:
        batch.insert(0, "optimizer.zero_grad()")
    schedule_free = recipe.is_schedule_free
    return [
        f"for epoch in range({EPOCHS}):",
        "    model.train()",
        *(["    optimizer.train()"] if schedule_free else []),
        *(f"    {line}" for line in head),
        *(f"        {line}" for line in [*batch, *step]),
        *(["    optimizer.eval()  # the averaged weights: validate and save now"] if schedule_free else []),
        *(f"    {line}" for line in after_epoch),
        *(["torch.optim.swa_utils.update_bn(train_loader, model)  # for batch norm"] if schedule_free else []),
    ]
