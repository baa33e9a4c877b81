import hashlib
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets import Summary
from pipeline.report.reproduction import command, reproduction
from pipeline.runs import params
from pipeline.runs.params import Params
from pipeline.runs.yaml_text import parse
from tests.comparison.examples import results
from tests.helpers.project import load


def changed(params_: Params) -> dict[str, Any]:
    """Return the settings that a report's command overrides, keyed by name."""
    words = shlex.split(command(params_))
    assert words[:5] == ["uv", "run", "dvc", "exp", "run"]
    assert words[5::2] == ["-S"] * len(words[6::2])
    return dict(word.split("=", 1) for word in words[6::2])


def test_the_command_has_every_top_level_key() -> None:
    keys = ["task", "scheduler", "optimizer", "lr", "seeds", "margin", "budget", "baseline", "metric"]
    plain = changed(load())
    assert list(plain) == keys
    assert (plain["scheduler"], plain["optimizer"], plain["lr"], plain["seeds"]) == ("all", "null", "null", "5")
    some = load(scheduler=["cosine", "step"], lr=[0.1, 1e-05], seeds=[3, 4], metric="test_loss")
    assert changed(some) | {"scheduler": "[cosine,step]", "lr": "[0.1,1e-05]", "seeds": "[3,4]"} == changed(some)
    assert "-S 'scheduler=[cosine,step]'" in command(some)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scheduler": ["cosine", "chained", "plateau"], "lr": [0.1, 1e-05], "seeds": [3, 4]},
        {"task": "square-mlp", "scheduler": "step"},
        {"task": "imdb-lstm", "optimizer": "adamw", "scheduler": "sequential", "metric": "test_loss"},
        {"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}, "rex": {"lr": 0.3}}, "scheduler": ["step", "constant"]},
    ],
)
def test_command_and_settings_give_the_same_sweep(summary: Summary, tmp_path: Path, changes: dict[str, Any]) -> None:
    """The settings and the command's keys form a complete params.yaml, in which DVC accepts the command's changes."""
    from dvc.utils.hydra import apply_overrides

    wanted = load(**changes)
    (record, _), *_ = results({"step": [0.9]})
    found = reproduction(wanted, summary, [record])
    file = tmp_path / "params.yaml"
    top = "".join(f"{key}:\n" for key in changed(wanted))
    file.write_text(top + found.settings)
    overrides = [f"{key}={value}" for key, value in changed(wanted).items()]
    apply_overrides(file, overrides)
    assert params.load(file).runs(examples=640) == wanted.runs(examples=640)


def test_settings_are_only_those_of_the_sweep(summary: Summary) -> None:
    (record, _), *_ = results({"step": [0.9]})
    found = parse(reproduction(load(scheduler=["cosine", "step"]), summary, [record]).settings, params.FILE)
    assert list(found["tasks"]) == ["digits-mlp"]
    assert list(found["optimizers"]) == ["sgd"]
    assert list(found["schedulers"]) == ["constant", "step", "cosine"]


def test_the_report_names_the_task_and_the_environment(summary: Summary) -> None:
    (record, _), *_ = results({"step": [0.9]})
    found = reproduction(load(), summary, [replace(record, device="cuda", torch="2.9")])
    assert found.about == (
        "mlp (hidden [64, 32], activation relu, output linear) on digits: 1,077 training and 450 test examples, "
        "cross-entropy, 40 epochs, batch size 32"
    )
    assert list(found.environment) == ["device", "torch", "numpy", "scipy"]
    assert (found.environment["device"], found.environment["torch"]) == ("cuda", "2.9")
    assert found.user_code == []


def test_the_environment_of_torchvisions_models_includes_torchvision(summary: Summary) -> None:
    (record, _), *_ = results({"step": [0.9]})
    found = reproduction(load(**{"tasks__digits-mlp__model": "torchvision:resnet18"}), summary, [record])
    assert list(found.environment) == ["device", "torch", "numpy", "scipy", "torchvision"]


def test_the_report_includes_the_code_of_a_user_model(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record, _), *_ = results({"step": [0.9]})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_model.py").write_text("def build(): ...  # ü\n", encoding="utf-8")
    (tmp_path / "own_package" / "parts").mkdir(parents=True)
    for name in ("__init__.py", "parts/net.py"):
        (tmp_path / "own_package" / name).write_text(f"# {name}\n")
    alone, package = (
        reproduction(load(**{"tasks__digits-mlp__model": {"name": name, "width": 3}}), summary, [record])
        for name in ("own_model:build", "own_package.parts.net:build")
    )
    (code,) = alone.user_code
    assert (code.name, code.text) == ("own_model.py", "def build(): ...  # ü\n")
    assert code.digest == hashlib.sha256((tmp_path / "own_model.py").read_bytes()).hexdigest()
    assert [each.name for each in package.user_code] == ["own_package/__init__.py", "own_package/parts/net.py"]
    assert alone.about.startswith("own_model:build (width 3) on digits")
