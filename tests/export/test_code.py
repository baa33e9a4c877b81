"""Exported code does not import this project, is formatted, and uses a library's own schedules."""

import ast
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from pipeline.export import TARGETS
from pipeline.export.transformers import BY_EPOCH
from tests.export.running import REFUSED, optimizer, recipe
from tests.helpers.project import SCHEDULERS, load
from tests.training.fitting import OPTIMIZERS

OWN = {
    "constant": ('lr_scheduler_type="constant"', ""),
    "cosine": ('lr_scheduler_type="cosine_with_min_lr"', "CosineLRScheduler("),
    "polynomial": ('lr_scheduler_type="polynomial"', "PolyLRScheduler("),
    "linear": ('lr_scheduler_type="polynomial"', "PolyLRScheduler("),
    "plateau": ('lr_scheduler_type="reduce_lr_on_plateau"', "TorchScheduler("),
    "step": ("OncePerEpoch(", "StepLRScheduler("),
    "multistep": ("OncePerEpoch(", "MultiStepLRScheduler("),
    "cosine-restarts": ("OncePerEpoch(", "CosineLRScheduler("),
    "warmup-cosine": ("OncePerEpoch(", "CosineLRScheduler("),
    "linear-to-zero": ("OncePerEpoch(", "PolyLRScheduler("),
    "wsd": ("OncePerEpoch(", "WSDLRScheduler("),
    "wsd-sqrt": ("OncePerEpoch(", "WSDLRScheduler("),
    "rex": ("OncePerEpoch(", "TorchScheduler("),
    "onecycle": ("optimizers=(optimizer, scheduler)", "TorchScheduler("),
}
"""Maps schedulers to texts in the exported code: one for Transformers, one for timm."""
MUON = {"class": "Muon", "nesterov": False, "rest": {"class": "Adafactor", "eps": [1e-20, 0.01], "lr": 0.003}}


def code_of(name: str, target: str, **changes: Any) -> str:
    return TARGETS[target](recipe(name, 12, 34, **changes))


def test_code_is_formatted_and_does_not_import_this_project(tmp_path: Path) -> None:
    made = [each for each in product(SCHEDULERS, TARGETS, ("epoch", "batch")) if each[:2] not in REFUSED]
    for name, target, interval in made:
        code = code_of(name, target, **({"interval": interval} if name not in ("plateau", "schedule-free") else {}))
        modules = [
            node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert {str(module).partition(".")[0] for module in modules} <= {"functools", "math", "schedulefree", *TARGETS}
        (tmp_path / f"{name}-{target}-{interval}.py").write_text(code)
    for name, target in product(("constant", "cosine", "onecycle"), TARGETS):
        muon = replace(recipe(name, 12, 34), optimizer=optimizer(MUON))
        (tmp_path / f"muon-{name}-{target}.py").write_text(TARGETS[target](muon))
    names = ["model", "loss_function", "train_loader", "val_loader", "train_dataset", "eval_dataset", "validate"]
    (tmp_path / "ruff.toml").write_text(f'builtins = {names}\nline-length = 88\nlint.select = ["E", "F", "I", "W"]\n')
    for action in (["check"], ["format", "--diff"]):
        command = [sys.executable, "-m", "ruff", *action, "--no-cache", "."]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", OWN)
def test_a_librarys_own_schedule_is_used(name: str) -> None:
    transformers, timm = OWN[name]
    assert transformers in code_of(name, "transformers")
    assert timm in code_of(name, "timm")


def test_by_batch_trainer_needs_only_arguments() -> None:
    code = code_of("cosine", "transformers", interval="batch")
    assert 'lr_scheduler_kwargs={"min_lr": 1e-06}' in code
    assert "class" not in code
    assert "t_in_epochs=False" in code_of("cosine", "timm", interval="batch")


def test_a_class_with_another_curve_is_not_used() -> None:
    for target, own in (("transformers", "cosine_with_min_lr"), ("timm", "CosineLRScheduler")):
        assert own in code_of("cosine", target)
        assert own not in code_of("cosine", target, T_max=4)
    assert "CosineLRScheduler" not in code_of("cosine-restarts", "timm", T_mult=2)


def test_lengths_follow_an_edit_of_the_constants() -> None:
    assert "T_max=EPOCHS," in code_of("cosine", "torch")
    assert "total_steps=EPOCHS * STEPS_PER_EPOCH," in code_of("onecycle", "torch")
    assert "T_max=12" in code_of("cosine", "torch", T_max=12)


def test_a_constant_rate_needs_no_scheduler() -> None:
    for target in ("torch", "lightning", "timm"):
        assert "scheduler" not in code_of("constant", target)


def test_functions_of_different_parts_have_different_names() -> None:
    part = {"class": "LambdaLR", "lr_lambda": "1 / (1 + step)"}
    other = {"class": "LambdaLR", "lr_lambda": "1 / (2 + step)"}
    code = code_of("chained", "torch", schedulers=[part, other, part])
    assert code.count("def factor(step)") == code.count("def factor_2(step)") == 1
    assert code.count("optimizer, lr_lambda=factor)") == 2


SETTINGS: list[dict[str, Any]] = [
    *({"class": name} for name in OPTIMIZERS if "Muon" not in name),
    *(each.resolve() for each in load().optimizers.values()),
    {"class": "NAdam", "betas": [0.8, 0.9], "decoupled_weight_decay": True},
    {"class": "Adafactor", "eps": [1e-20, 0.01]},
    {"class": "Rprop", "step_sizes": [1e-5, 10]},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: each["class"])
def test_the_optimizer_has_the_settings_of_the_run(settings: dict[str, Any]) -> None:
    given = replace(recipe("constant", 1, 1), optimizer=optimizer(settings))
    ours = given.optimizer.of([torch.zeros(1)], 0.1)
    made = TARGETS["torch"](given).partition("\noptimizer = ")[2].partition("\n\n")[0]
    found = eval(made, {"torch": torch, "model": torch.nn.Linear(1, 1)})
    assert type(found) is type(ours)
    speed = {"fused", "foreach"}
    defaults = {key: value for key, value in found.defaults.items() if key not in speed}
    assert defaults == {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in ours.defaults.items()
        if key not in speed
    }


@pytest.mark.parametrize("scheduler", ["constant", "cosine", "onecycle", "cyclic"])
def test_muon_and_its_rest_train_to_the_same_bits(scheduler: str) -> None:
    given = replace(recipe(scheduler, 2, 3), optimizer=optimizer(MUON))
    examples = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(examples, examples), batch_size=4)
    torch.manual_seed(0)
    ours = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(3)], torch.nn.BatchNorm1d(4))
    theirs = deepcopy(ours)
    names = {"model": theirs, "loss_function": torch.nn.functional.mse_loss, "train_loader": loader}
    exec(TARGETS["torch"](given), names)
    by = given.optimizer.build(ours, given.lr)
    steps = given.schedule.build(by, 2, 3)
    for _ in range(2):
        for inputs, targets in loader:
            by.zero_grad()
            torch.nn.functional.mse_loss(ours(inputs), targets).backward()
            by.step()
            if given.by_batch:
                steps.step()
        given.schedule.step_epoch(steps, None)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_librarys_own_schedule_is_not_used_for_several_base_rates() -> None:
    """In a library, the lowest rate is either a share of the base rate or the same for all groups, unlike ours."""
    rest = {"class": "AdamW"}
    for target, own in (("transformers", "cosine_with_min_lr"), ("timm", "CosineLRScheduler(")):
        same, several = (
            TARGETS[target](replace(recipe("cosine", 12, 34), optimizer=optimizer({"class": "Muon", "rest": each})))
            for each in (rest, rest | {"lr": 0.003})
        )
        assert own in same
        assert own not in several


def test_the_wrapper_that_steps_once_per_epoch_can_be_resumed() -> None:
    names: dict[str, Any] = {"STEPS_PER_EPOCH": 3}
    exec(BY_EPOCH, names)

    def made() -> Any:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        optimizer.step()
        return names["OncePerEpoch"](scheduler)

    whole, resumed = made(), made()
    rates = []
    for batch in range(9):
        whole.step()
        rates.append(whole.get_last_lr())
        if batch == 3:
            resumed.load_state_dict(whole.state_dict())
            resumed.scheduler.optimizer.load_state_dict(whole.scheduler.optimizer.state_dict())
        elif batch > 3:
            resumed.step()
            assert resumed.get_last_lr() == whole.get_last_lr()
    assert [rate for (rate,) in rates] == [0.1] * 2 + [0.05] * 3 + [0.025] * 3 + [0.0125]
