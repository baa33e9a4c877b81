"""Hypothesis strategies that draw whole projects. Each setting is valid, but some settings contradict each other.

A value is either common or at the limit of what is allowed, so that most projects can be trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from ruamel.yaml import YAML

import pipeline
from tests.attacks.data import Data, data

SHIPPED: dict[str, Any] = YAML(typ="safe", pure=True).load(Path(pipeline.__file__).parents[1] / "params.yaml")
"""The content of the project's params.yaml."""
Content = dict[str, Any]

TINY, HUGE = 1e-30, 1e30
rates = st.one_of(
    st.sampled_from([0.01, 0.1, 0.1, 0.5]),
    st.sampled_from([TINY, 1e-9, 1e3, 1e9, HUGE, 1e31]),
    st.floats(1e-4, 10),
)
"""Draws base rates."""
lengths = st.one_of(
    st.integers(1, 4),
    st.sampled_from(["1%", "10%", "34%", "50%", "100%"]),
    st.integers(1, 9).map(lambda steps: f"{steps} steps"),
)
factors = st.one_of(st.sampled_from([1e-300, TINY, 0.1, 0.5, 1.0, 2.0, HUGE, 1e300]), st.floats(0.01, 3))
shares = st.sampled_from([0.0, 1e-300, 0.1, 0.5, 0.999, 1.0])
expressions = st.sampled_from(["0", "1", "1e300", "1e-300", "1 / (1 + step)", "step", "epoch / epochs", "0.1 ** step"])
LENGTHS = (
    *("T_max", "T_0", "total_iters", "step_size", "step_size_up", "total_steps", "warmup", "hold", "decay"),
    *("patience", "cooldown", "start", "anneal"),
)
FACTORS = ("gamma", "factor", "end_factor", "swa_factor", "lr_factor", "power", "eta_min", "max_lr")


@dataclass(frozen=True)
class Project:
    """The inputs of a project: its params.yaml and its data."""

    content: Content
    """The content of params.yaml."""
    data: Data


@st.composite
def schedulers(draw: st.DrawFn) -> dict[str, Content]:
    """One to three of the schedulers in params.yaml, some with other settings."""
    names = draw(st.lists(st.sampled_from([*SHIPPED["schedulers"]]), min_size=1, max_size=3, unique=True))
    return {name: draw(scheduler(name)) for name in names}


@st.composite
def scheduler(draw: st.DrawFn, name: str) -> Content:
    """The settings of a scheduler, which are those in params.yaml half of the time."""
    settings: Content = {**SHIPPED["schedulers"][name]}
    if draw(st.booleans()):
        return settings
    own: dict[str, st.SearchStrategy[Any]] = {"interval": st.sampled_from(["epoch", "batch"])}
    own |= dict.fromkeys(LENGTHS, lengths) | dict.fromkeys(FACTORS, factors)
    own |= {
        "lr_lambda": expressions,
        "start_factor": shares,
        "cycle_momentum": st.booleans(),
        "three_phase": st.booleans(),
    }
    own |= {"T_mult": st.integers(1, 3), "pct_start": st.floats(0.01, 0.99), "threshold": shares, "min_lr": factors}
    own |= {"div_factor": st.sampled_from([1.0, 25.0, 1e308]), "final_div_factor": st.sampled_from([1.0, 1e308])}
    own |= {"anneal_strategy": st.sampled_from(["cos", "linear"]), "beta": st.sampled_from([1e-300, 0.5, 0.999])}
    own |= {"mode": st.sampled_from(["triangular", "triangular2", "exp_range"]) if name == "cyclic" else st.just("min")}
    keys = [key for key in own if key in settings]
    changed = draw(st.lists(st.sampled_from(keys), max_size=2, unique=True)) if keys else []
    settings |= {key: draw(own[key]) for key in changed}
    if draw(st.integers(0, 3)) == 3 and name not in ("swa", "schedule-free"):
        settings["average"] = draw(averages)
    return settings


averages = st.sampled_from(
    [
        {"kind": "ema"},
        {"kind": "ema", "decay": 1e-300},
        {"kind": "ema", "decay": 0.999},
        {"kind": "ema", "horizon": "100%"},
        {"kind": "swa"},
        {"kind": "swa", "start": 1},
    ]
)
OPTIMIZERS: dict[str, Content] = SHIPPED["optimizers"] | {
    **{name.lower(): {"class": name} for name in ("Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop")},
    "adafactor": {"class": "Adafactor"},
    "muon": {"class": "Muon", "rest": {"class": "AdamW"}},
    "muon-apart": {"class": "Muon", "rest": {"class": "SGD", "lr": 0.1}},
    "plain": {"class": "SGD"},
    "decaying": {"class": "SGD", "weight_decay": 1e30},
    "nesterov": {"class": "SGD", "momentum": 0.99, "nesterov": True},
    "no-eps": {"class": "Adam", "eps": 5e-324},
}
"""Maps each optimizer's name in params.yaml to its settings."""
SLOW = ("cifar-resnet", "lstm", "gpt")
"""Models that get few seeds, because they are slow to train."""
seeds = st.one_of(
    st.integers(1, 3),
    st.sampled_from([[7], [3, 1], [0, 4294967295], 11, "auto", "auto", "auto"]),
)
margins = st.sampled_from([None, None, 1e-6, 0.5, 30.0, 99.99999999999999])
normalizations = [None, {"mean": [0.5], "std": [0.5]}, {"mean": [-HUGE], "std": [TINY]}]


@st.composite
def tasks(draw: st.DrawFn, of: Data, optimizer: list[str]) -> Content:
    """A task on some data."""
    loss = draw(st.sampled_from(of.losses))
    fitting = [model for model in of.models if (model["name"] == "cnn") == (loss == "nll")]
    model = draw(st.sampled_from(fitting or of.models))
    several = draw(st.lists(rates, min_size=2, max_size=3, unique=True)) if draw(st.integers(0, 3)) == 3 else None
    task: Content = {
        "dataset": of.dataset,
        "model": model,
        "loss": loss,
        "optimizer": optimizer[0] if len(optimizer) == 1 else optimizer,
        "lr": several or draw(rates),
        "epochs": draw(st.integers(1, 3)),
        "batch_size": draw(st.sampled_from([1, 2, 3, 7, 16, 64, 1000])),
        "record_every": draw(st.sampled_from([1, 1, 2, 5])),
        "train_subset": draw(st.sampled_from([of.subset, of.subset, 1, 2, 5])),
        "clip_grad_norm": draw(st.sampled_from([None, None, TINY, 1.0, HUGE])),
        "precision": draw(st.sampled_from([None, None, None, "bfloat16"])),
        "accumulate": draw(st.sampled_from([None, None, 1, 2, 5, 100])),
        "no_decay": draw(st.sampled_from([None, None, [], ["bias"], ["bias", "norm"]])),
    }
    if loss == "cross-entropy":
        task["label_smoothing"] = draw(st.sampled_from([None, 0.0, 0.1, 0.999]))
    if of.kind == "image":
        task["normalize"] = draw(st.sampled_from(normalizations))
    if of.kind == "text":
        task["max_length"] = draw(st.sampled_from([1, 2, 50]))
    return task


@st.composite
def projects(draw: st.DrawFn) -> Project:
    """A project whose few tiny networks are trained in a second or two."""
    of = draw(data)
    own = draw(schedulers())
    optimizers = draw(st.lists(st.sampled_from([*OPTIMIZERS]), min_size=1, max_size=2, unique=True))
    chosen = draw(st.sampled_from([[*own], [*own], next(iter(own)), "all"]))
    task = draw(tasks(of, optimizers))
    groups = (1 + len(own)) * len(optimizers) * (len(task["lr"]) if isinstance(task["lr"], list) else 1)
    is_slow = task["model"]["name"] in SLOW
    count = 1 if groups > (4 if is_slow else 8) else draw(seeds)
    classes = of.losses[0] in ("cross-entropy", "nll")
    content: Content = {
        "task": "attacked",
        "scheduler": chosen,
        "optimizer": None,
        "lr": None,
        "seeds": count,
        "margin": draw(margins),
        "budget": draw(st.integers(4, 30)) if count == "auto" else None,
        "baseline": draw(st.sampled_from([*own, "constant"])),
        "metric": draw(st.sampled_from([None, "test_loss", "test_accuracy"] if classes else [None, "test_loss"])),
        "tasks": {"attacked": task},
        "optimizers": {name: OPTIMIZERS[name] for name in optimizers},
        "schedulers": {"constant": {"class": "Constant"}, **own},
    }
    return Project(content, of)
