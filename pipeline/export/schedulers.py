"""The source of each schedule's torch scheduler: what its `build` makes, as one would write it by hand."""

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UserError
from pipeline.export.layout import Bracketed, Raw, Source, call, indented, listed, literal, mapping
from pipeline.export.recipe import Recipe, torch_arguments
from pipeline.schedules import Schedule
from pipeline.schedules.annealing import ExponentialLR
from pipeline.schedules.composed import ChainedScheduler, SequentialLR
from pipeline.schedules.cyclic import CyclicLR, OneCycleLR, of_each_group
from pipeline.schedules.expression import FUNCTIONS, LambdaLR, MultiplicativeLR
from pipeline.schedules.modern import REX, InverseSqrt, LinearToZero, TriStage, WarmupCosine, WarmupStableDecay
from pipeline.schedules.own import UserSchedule
from pipeline.schedules.swa import SWA

OPTIMIZER = Raw("optimizer")


@dataclass
class Torch:
    """Builds the source of a recipe's scheduler, and gathers the functions that it needs."""

    recipe: Recipe
    functions: dict[str, list[str]] = field(default_factory=dict)
    """Lines of each, by its name."""
    imports: list[str] = field(default_factory=list)
    """Statements that import the user's own code."""

    def scheduler(self) -> Source:
        """Return the source of the scheduler."""
        return self.built(self.recipe.schedule)

    def built(self, schedule: Schedule) -> Source:
        """Return the source of a schedule, or of a part of one.

        Raises:
            UserError: nobody has said how to write a schedule of this class.
        """
        from torch.optim import lr_scheduler

        for kind, source in SOURCES.items():
            if isinstance(schedule, kind):
                return source(self, schedule)
        if not hasattr(lr_scheduler, schedule.class_):
            raise UserError(f"export: {schedule.class_} is not torch's, and pipeline/export/schedulers.py lacks it")
        return self.torch(schedule.class_, **torch_arguments(self.recipe, schedule))

    def torch(self, kind: str, *positional: Source, **named: Source) -> Bracketed:
        """Return a call of one of torch's schedulers."""
        return call(f"lr_scheduler.{kind}", OPTIMIZER, *positional, **named)

    def function(self, name: str, body: list[str]) -> Raw:
        """Add a function from a step to a factor, and return its name."""
        whole, count = name, 1
        while self.functions.get(whole, body) != body:
            count += 1
            whole = f"{name}_{count}"
        self.functions[whole] = body
        return Raw(whole)

    def definitions(self) -> list[str]:
        """Return the lines of the functions, two empty lines after each."""
        return [
            line for name, body in self.functions.items() for line in (f"def {name}(step):", *indented(body, 4), "", "")
        ]


def _exponential(torch: Torch, schedule: ExponentialLR) -> Source:
    if schedule.gamma is not None:
        return torch.torch("ExponentialLR", gamma=literal(schedule.gamma))
    return torch.torch("ExponentialLR", gamma=Raw(f"{schedule.end_factor!r} ** (1 / {torch.recipe.total_as_factor})"))


def _one_cycle(torch: Torch, schedule: OneCycleLR) -> Source:
    named, recipe = torch_arguments(torch.recipe, schedule), torch.recipe
    total = schedule.total_steps.steps(recipe.epochs, recipe.batches, schedule.interval)
    share = schedule.pct_start
    while share * total == 1:  # torch divides by the difference: see `OneCycleLR.build`
        share = math.nextafter(share, 1)
    if share != schedule.pct_start:
        named["pct_start"] = literal(share)
    return torch.torch("OneCycleLR", **named | _of_each_group(recipe, "max_lr"))


def _cyclic(torch: Torch, schedule: CyclicLR) -> Source:
    return torch.torch(
        "CyclicLR", **torch_arguments(torch.recipe, schedule) | _of_each_group(torch.recipe, "base_lr", "max_lr")
    )


def _of_each_group(recipe: Recipe, *names: str) -> dict[str, Source]:
    """Return the schedule's own rates of those names, if there are parameter groups with several base rates."""
    if len(recipe.base_rates) == 1:
        return {}
    of_each = {name: of_each_group(recipe.resolved[name], recipe.base_rates) for name in names}
    return {name: Raw(repr(rates)) for name, rates in of_each.items()}


def _expression(torch: Torch, schedule: LambdaLR | MultiplicativeLR) -> Source:
    text = " ".join(schedule.lr_lambda.split())
    names = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
    recipe = torch.recipe
    known = {
        "steps": recipe.total,
        "epochs": "EPOCHS",
        "epoch": f"step * EPOCHS / {recipe.total_as_factor}",
        "pi": "math.pi",
        **{name: f"math.{name}" for name in FUNCTIONS if hasattr(math, name)},
    }
    body = [f"{name} = {value}" for name, value in known.items() if name in names]
    name = "factor" if isinstance(schedule, LambdaLR) else "change"
    return torch.torch(schedule.class_, torch.function(name, [*body, f"return {text}"]))


def _sequential(torch: Torch, schedule: SequentialLR) -> Source:
    milestones = torch_arguments(torch.recipe, schedule)["milestones"]
    parts = listed(torch.built(part) for part in schedule.parts())
    return torch.torch("SequentialLR", parts, milestones=milestones)


def _chained(torch: Torch, schedule: ChainedScheduler) -> Source:
    parts = listed(torch.built(part) for part in schedule.parts())
    return call("lr_scheduler.ChainedScheduler", parts, optimizer=OPTIMIZER)


def _warmup_cosine(torch: Torch, schedule: WarmupCosine) -> Source:
    left = torch.recipe.left_after(torch.recipe.resolved["warmup"])
    return _after_warmup(torch, [torch.torch("CosineAnnealingLR", T_max=left, eta_min=literal(schedule.eta_min))])


def _warmup_stable_decay(torch: Torch, schedule: WarmupStableDecay) -> Source:
    decay: int = torch.recipe.resolved["decay"]
    if schedule.shape == "linear":
        down = _line_to_zero(torch, literal(decay))
    else:
        down = torch.torch(
            "LambdaLR", torch.function("one_minus_sqrt", [f"return 1 - math.sqrt(min(step / {decay}, 1))"])
        )
    stable = torch.torch("LambdaLR", Raw("lambda step: 1.0"))
    return _after_warmup(torch, [stable, down], [torch.recipe.left_after(decay)])


def _tri_stage(torch: Torch, schedule: TriStage) -> Source:
    hold, decay = torch.recipe.resolved["hold"], torch.recipe.resolved["decay"]
    body = [
        f"hold, decay = {hold}, {decay}",
        f"return {schedule.end_factor!r} ** min(max(step - hold, 0) / decay, 1)",
    ]
    return _after_warmup(torch, [torch.torch("LambdaLR", torch.function("hold_then_decay", body))])


def _linear_to_zero(torch: Torch, schedule: LinearToZero) -> Source:
    left = torch.recipe.left_after(torch.recipe.resolved["warmup"])
    return _after_warmup(torch, [_line_to_zero(torch, left)])


def _inverse_sqrt(torch: Torch, schedule: InverseSqrt) -> Source:
    body = [
        f"warmup = {torch.recipe.length(schedule.warmup)}",
        "return min((step + 1) / warmup, math.sqrt(warmup / (step + 1)))",
    ]
    return torch.torch("LambdaLR", torch.function("inverse_sqrt", body))


def _rex(torch: Torch, schedule: REX) -> Source:
    recipe = torch.recipe
    length = recipe.length(schedule.total_iters)
    divisor = recipe.total_as_factor if length == recipe.total else length
    body = [f"left = 1 - min(step / {divisor}, 1)", "return left / (0.5 + 0.5 * left)"]
    return torch.torch("LambdaLR", torch.function("rex", body))


def _own(torch: Torch, schedule: UserSchedule) -> Source:
    module, _, builder = schedule.class_.partition(":")
    torch.imports.append(f"import {module}")
    settings = {name: _written(value) for name, value in schedule.settings.items()}
    return call(f"{module}.{builder}", OPTIMIZER, epochs=Raw("EPOCHS"), steps=Raw(torch.recipe.total), **settings)


def _written(value: Any) -> Source:
    """Return a value of params.yaml as source."""
    if isinstance(value, list):
        return listed(map(_written, value))
    if isinstance(value, dict):
        return mapping({key: _written(each) for key, each in value.items()})
    return literal(value)


def _swa(torch: Torch, schedule: SWA) -> Source:
    resolved = torch.recipe.resolved
    done = "done" if schedule.anneal_strategy == "linear" else "(1 - math.cos(math.pi * done)) / 2"
    body = [
        f"done = min(max(step - {resolved['start']}, 0) / {resolved['anneal']}, 1)",
        f"return 1 + ({schedule.swa_factor!r} - 1) * {done}",
    ]
    return torch.torch("LambdaLR", torch.function("swa", body))


def _line_to_zero(torch: Torch, steps: Raw) -> Source:
    return torch.torch("LinearLR", start_factor=Raw("1.0"), end_factor=Raw("0.0"), total_iters=steps)


def _after_warmup(torch: Torch, phases: list[Source], milestones: list[Source] | None = None) -> Source:
    """Return phases after the linear warm-up of the recipe's schedule; a single phase needs nothing around it."""
    warmup, milestones = torch.recipe.resolved["warmup"], milestones or []
    if warmup > 0:
        start = literal(torch.recipe.resolved["start_factor"])
        phases = [torch.torch("LinearLR", start_factor=start, total_iters=literal(warmup)), *phases]
        milestones = [literal(warmup), *milestones]
    if len(phases) == 1:
        return phases[0]
    return torch.torch("SequentialLR", listed(phases), milestones=listed(milestones))


SOURCES: dict[type[Schedule], Callable[[Torch, Any], Source]] = {
    ExponentialLR: _exponential,
    OneCycleLR: _one_cycle,
    CyclicLR: _cyclic,
    LambdaLR: _expression,
    MultiplicativeLR: _expression,
    SequentialLR: _sequential,
    ChainedScheduler: _chained,
    WarmupCosine: _warmup_cosine,
    WarmupStableDecay: _warmup_stable_decay,
    TriStage: _tri_stage,
    LinearToZero: _linear_to_zero,
    InverseSqrt: _inverse_sqrt,
    REX: _rex,
    UserSchedule: _own,
    SWA: _swa,
}
"""How to write the schedules that are not a call of torch's class with their settings."""
