"""The user's own optimizers can train, resume and be exported; a mistake in an optimizer is a one-line error."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.datasets import Summary
from pipeline.errors import UserError
from pipeline.runs import fingerprint
from pipeline.training.state import Training
from tests.helpers.commands import Command
from tests.helpers.project import edit, load
from tests.training.conftest import few as few
from tests.training.conftest import splits as splits
from tests.training.fitting import CPU, Splits, fit

OWN = "tests.optimizers.test_own"


class Trusting(torch.optim.Optimizer):
    """Takes steps whose length is a share of the weight's norm (You, Gitman & Ginsburg 2017), with momentum."""

    def __init__(self, parameters: Any, lr: float, trust: float) -> None:
        super().__init__(parameters, {"lr": lr, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                length = group["trust"] * weight.norm() / (weight.grad.norm() + 1e-8)
                state["step"] = 0.9 * state.get("step", torch.zeros_like(weight)) + length * weight.grad
                weight -= group["lr"] * state["step"]


def build(parameters: Any, lr: float, trust: float = 0.1) -> torch.optim.Optimizer:
    return Trusting(parameters, lr, trust)


def number(parameters: Any, lr: float) -> int:
    return 3


def raises(parameters: Any, lr: float) -> None:
    raise ValueError("not today")


def settings(function: str = "build", **own: object) -> dict[str, Any]:
    return {"optimizers__sgd": {"class": f"{OWN}:{function}", **own}, "seeds": 1, "tasks__digits-mlp__epochs": 2}


def trained(summary: Summary, **changes: Any) -> Training:
    return Training(load(scheduler="cosine", **changes).runs(200)[0], summary, CPU)


def test_a_users_optimizer_trains_and_resumes(summary: Summary, few: Splits) -> None:
    whole, states = trained(summary, **settings(trust=0.3)), list[dict[str, Any]]()
    fit(whole, few, lambda: states.append(deepcopy(whole.state_dict())))
    again = trained(summary, **settings(trust=0.3))
    again.load_state_dict(states[len(states) // 2])
    fit(again, few)
    assert again.recorded == whole.recorded
    assert whole.recorded[-1].figures["train_loss"] < whole.recorded[0].figures["train_loss"]
    assert isinstance(whole.optimizer, Trusting)
    assert whole.optimizer.param_groups[0]["trust"] == 0.3


def test_the_fingerprint_covers_its_code_and_settings(summary: Summary) -> None:
    def of(**changes: Any) -> str:
        return fingerprint.fingerprint(load(scheduler="cosine", **changes).runs(200)[0], summary, "cpu", "2")

    first = of(**settings())
    assert len({first, of(**settings(trust=0.2)), of(**settings("raises"))}) == 3
    run = load(scheduler="cosine", **settings()).runs(200)[0]
    assert ("optimizer", f"{OWN}:build") in run.builders


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (settings("none"), rf"optimizer {OWN}:none: {OWN} has no function 'none'; "),
        (settings(other=1), rf"optimizer {OWN}:build: .*'other'"),
        (settings("number"), rf"optimizer {OWN}:number: returns int; it must be a torch.optim.Optimizer$"),
        (settings("raises"), rf"optimizer {OWN}:raises: ValueError: not today$"),
        (settings() | {"tasks__digits-mlp__no_decay": ["bias"]}, "no_decay: needs an optimizer with weight_decay"),
        (settings(lr=1.0), "optimizers.sgd: lr is not a setting: the run sets the base LR"),
        (settings() | {"optimizers__sgd": {"class": "no builder:x"}}, "optimizers.sgd.class: 'no builder:x' is not"),
    ],
)
def test_a_mistake_is_one_line(summary: Summary, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        trained(summary, **given)
    assert "\n" not in str(error.value)


def test_an_export_calls_the_builder(pipeline: Command, project: Path) -> None:
    (project / "my_optimizers.py").write_text(
        "import torch\ndef build(parameters, lr, momentum):\n    return torch.optim.SGD(parameters, lr, momentum)\n"
    )
    own = '{class: "my_optimizers:build", momentum: 0.5}'
    edit(project, **{"+optimizers__mine": own, "tasks__digits-mlp__optimizer": "mine"})
    for target in ("torch", "lightning", "timm", "transformers"):
        done = pipeline("export", "step", "--to", target)
        assert done.returncode == 0, done.stderr
        assert "import my_optimizers\n" in done.stdout
        assert re.search(r"my_optimizers\.build\([\w.]+parameters\(\), lr=0.15, momentum=0.5\)", done.stdout)
