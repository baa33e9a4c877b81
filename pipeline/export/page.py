"""What the code for every library has: the remarks, the imports, the constants, the functions; then its own part."""

from collections.abc import Iterable, Sequence

from pipeline.errors import plural
from pipeline.export.layout import comment
from pipeline.export.recipe import EPOCHS, STEPS_PER_EPOCH, Recipe
from pipeline.user_code import is_builder

SHOWN = ("clip_grad_norm", "precision", "accumulate")
"""Settings of a task that a loop shows."""
WITH_A_LOOP = ("PyTorch", "timm")
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
    builders = [each for each in (recipe.optimizer.class_,) if is_builder(each)]
    own = [f"import {each.partition(':')[0]}" for each in builders]
    needed = dict.fromkeys(each for each in [*imports, SCHEDULE_FREE, *own] if optional.get(each, "") in text)
    standard = ["import math", ""] if "math." in text else []
    length = f"{plural(recipe.epochs, 'epoch')} of {plural(recipe.batches, 'step')}"
    head = [f"{recipe.scheduler} with {library}: {length}, base LR {recipe.lr:g}.", *recipe.remarks]
    shown = SHOWN if library in WITH_A_LOOP else ()
    if left := [each for each in recipe.training.describe_options() if each.partition(" ")[0] not in shown]:
        head.append(f"The task also sets {'; '.join(left)}. That is not in this code: add it.")
    about = [line for remark in head for line in comment(remark)]
    ordered = sorted(needed, key=lambda line: (line.startswith("from"), line.lower()))
    constants = recipe.constants(STEPS_PER_EPOCH in text)
    spacing = ["", ""] if functions else [""]
    takes = comment(f"Yours: {yours}.")
    return "\n".join([*about, *standard, *ordered, "", *constants, *spacing, *functions, *takes, *body]) + "\n"


def loop(recipe: Recipe, after_batch: Sequence[str] = (), after_epoch: Sequence[str] = ()) -> list[str]:
    """Return the lines of a training loop, with what steps the scheduler after a step and after an epoch.

    It shows what the task sets of `SHOWN`.
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
    return [
        f"for epoch in range({EPOCHS}):",
        "    model.train()",
        *(["    optimizer.train()"] if recipe.is_schedule_free else []),
        *(f"    {line}" for line in head),
        *(f"        {line}" for line in [*batch, *step]),
        *(["    optimizer.eval()  # the average: validate and save now"] if recipe.is_schedule_free else []),
        *(f"    {line}" for line in after_epoch),
        *(["torch.optim.swa_utils.update_bn(train_loader, model)  # of batch norm"] if recipe.is_schedule_free else []),
    ]
