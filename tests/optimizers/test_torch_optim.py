"""Optimizers whose settings are read from the signatures of torch's classes."""

import inspect
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.optimizers import REGISTRY, Optimizer
from pipeline.optimizers.torch_optim import LEFT_OUT, REFUSED, all_classes
from pipeline.runs.params import Run
from tests.helpers.project import ROOT, load

MADE = sorted({*all_classes()} - {*REGISTRY})
MUON = {"class": "Muon", "momentum": 0.9, "rest": {"class": "AdamW", "lr": 0.003}}


def settings(given: Any) -> Optimizer:
    return load(optimizers__mine=given).optimizers["mine"]


def test_every_class_of_torch_is_available_or_refused() -> None:
    found = {
        name
        for name in torch.optim.__all__
        if isinstance(kind := getattr(torch.optim, name), type) and issubclass(kind, torch.optim.Optimizer)
    }
    assert found - {"Optimizer"} <= {*all_classes(), *REFUSED}
    assert {"Adafactor", "Muon", "NAdam", "RAdam", "Rprop"} <= {*all_classes()}


@pytest.mark.parametrize("name", MADE)
def test_defaults_and_arguments_are_torchs(name: str) -> None:
    weights = [torch.nn.Parameter(torch.zeros(3))]
    ours = settings({"class": name})
    assert ours.of(weights, 0.5).defaults == getattr(torch.optim, name)(weights, lr=0.5).defaults
    resolved = ours.resolve()
    assert json.loads(json.dumps(resolved)) == resolved
    arguments = inspect.signature(getattr(torch.optim, name)).parameters
    assert list(resolved) == ["class", *(each for each in arguments if each not in LEFT_OUT)]
    assert settings(resolved).resolve() == resolved
    assert json.dumps(settings(resolved).resolve()) == json.dumps(resolved)  # as JSON, because 0 == 0.0


def test_a_setting_reaches_torch() -> None:
    given = {"class": "Adafactor", "eps": [None, 0.01], "d": 2}
    assert settings(given).resolve()["eps"] == [None, 0.01]
    made = settings(given).of([torch.nn.Parameter(torch.zeros(3))], 0.5)
    assert (made.defaults["eps"], made.defaults["d"]) == ((None, 0.01), 2.0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"class": "NAdm"}, "optimizers.mine.class: unknown 'NAdm'; did you mean 'NAdam'? allowed: ASGD, "),
        ({"class": ["Adam"]}, "optimizers.mine.class: unknown ['Adam']; "),
        (
            {"class": "LBFGS"},
            "class: LBFGS computes the loss several times in a step, but training computes it once; allowed: ",
        ),
        ({"class": "SparseAdam"}, "class: SparseAdam takes only sparse gradients"),
        ({"class": "NAdam", "betas": [1.5, 0.9]}, "mine.betas: Invalid beta parameter at index 0: 1.5"),
        ({"class": "NAdam", "betas": [0.9]}, "mine.betas.1 is missing"),
        ({"class": "NAdam", "betas": ["a", 0.9]}, "mine.betas.0: 'a': input should be a valid number"),
        ({"class": "NAdam", "lr": 0.1}, "mine: unknown setting 'lr'; allowed: betas, class, "),
        ({"class": "Rprop", "eta": [0.5, 2]}, "mine: unknown setting 'eta'; did you mean 'etas'?"),
        ({"class": "Adafactor", "eps": [None, -1]}, "mine.eps: epsilon2 should be >= 0 but is: -1.0"),
        ({"class": "Muon"}, "mine.rest is missing"),
        ({"class": "Muon", "rest": {"class": "Muon"}}, "mine.rest.class: Muon trains only matrices; choose"),
        ({"class": "Muon", "rest": {"class": "LBFGS"}}, "mine.rest.class: LBFGS computes the loss several times"),
        (MUON | {"ns_steps": 100}, "mine.ns_steps: 100: input should be less than 100"),
        (MUON | {"adjust_lr_fn": "half"}, "mine.adjust_lr_fn: Adjust learning rate function half is not supported"),
        (MUON | {"rest": {"class": "SGD", "lr": 0}}, "mine.rest.lr: 0: input should be greater than 0"),
        (MUON | {"rest": {"class": "RAdam", "eps": -1}}, "mine.rest.eps: Invalid epsilon value: -1.0"),
    ],
)
def test_a_mistake_is_one_line(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as raised:
        settings(given)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def runs(**changes: Any) -> list[Run]:
    return load(**{"optimizer": "mine", "optimizers__mine": MUON, "scheduler": "cosine", "seeds": 1, **changes}).runs()


def test_a_task_can_change_their_settings() -> None:
    (run,) = runs(**{"tasks__digits-mlp__optimizers": {"mine": {"rest": {"class": "NAdam"}}}})
    assert run.workload.optimizer.resolve()["rest"]["class"] == "NAdam"
    assert run.workload.optimizer.base_rates(0.5) == [0.5, 0.5]


def test_a_run_survives_json_and_pickle(tmp_path: Any) -> None:
    """The process that unpickles the run must first generate the classes of settings."""
    (run,) = runs(optimizers__mine=MUON | {"rest": {"class": "NAdam", "lr": 0.003}})
    assert Run.model_validate(json.loads(run.model_dump_json(by_alias=True))) == run
    (tmp_path / "run").write_bytes(pickle.dumps(run))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'run')!r}, 'rb')).workload.optimizer.resolve())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == str(run.workload.optimizer.resolve())


def test_every_setting_is_logged_and_makes_another_run() -> None:
    (run,) = runs()
    flat = run.flat()
    assert flat["optimizer.rest.class"] == "AdamW"
    assert flat["optimizer.rest.lr"] == 0.003
    assert flat["optimizer.ns_coefficients"] == [3.4445, -4.775, 2.0315]
    for change in ({"ns_steps": 6}, {"rest": {"class": "AdamW"}}, {"rest": {"class": "Adam", "lr": 0.003}}):
        assert runs(optimizers__mine=MUON | change)[0].resolved() != run.resolved()


@pytest.mark.parametrize("scheduler", ["onecycle", "cyclic"])
def test_cycling_momentum_needs_an_optimizer_with_momentum(scheduler: str) -> None:
    cycled: dict[str, Any] = {"scheduler": scheduler, f"schedulers__{scheduler}__cycle_momentum": True}
    for given in ({"class": "NAdam"}, {"class": "RMSprop"}, MUON | {"rest": {"class": "SGD"}}):
        runs(optimizers__mine=given, **cycled)
    for given, lacks in (
        ({"class": "Adagrad"}, "(Adagrad) has neither"),
        (MUON, "(Muon) does not use the same setting"),
    ):
        with pytest.raises(UserError, match=f"schedulers.{scheduler}: cycle_momentum: true needs") as raised:
            runs(optimizers__mine=given, **cycled)
        assert f"mine {lacks}" in str(raised.value)
