"""Test what papers claim about schedules, and write the verdicts to docs/claims.md.

    python -m tests.benchmarks.claims [--only WORD] [--jobs N]

Each claim is tested by small sweeps, which the usual commands run in temporary folders. Finished runs are kept in the
project's run cache, so repeating the tests takes little time.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from dvc.utils.hydra import apply_overrides

from pipeline.files import write_text
from tests.benchmarks.common import CORES, ROOT, console

PAGE = ROOT / "docs" / "claims.md"
COSINE_TO_A_TENTH = "min((step + 1) / (0.1 * steps), 0.1 + 0.45 * (1 + cos(pi * max(0, step / steps - 0.1) / 0.9)))"
"""A linear warm-up over 10% of the run, followed by half a cosine down to 10% of the base rate."""
THE_SAME_AFTER_50 = "min((step + 1) / 50, 0.1 + 0.45 * (1 + cos(pi * max(0, step - 50) / (steps - 50))))"
"""The schedule `COSINE_TO_A_TENTH` with a warm-up of 50 steps."""
SGD = {"lr": "[0.05,0.1,0.2]"}
ADAM = {"optimizer": "adam", "lr": "[0.003,0.01,0.03,0.1]"}
ADAMW = {"optimizer": "adamw", "lr": "[0.003,0.01,0.03,0.1]"}


@dataclass(frozen=True)
class Trial:
    """A sweep of one task that tests a claim."""

    changes: Mapping[str, str]
    """Maps keys of params.yaml to their new values."""
    about: str
    """A description of the sweep, which the page shows after the names of the schedulers."""
    task: str = "digits-mlp"
    schedulers: Mapping[str, str] = field(default_factory=dict)
    """Maps names of schedulers that params.yaml lacks to their entries."""

    @property
    def compares_losses(self) -> bool:
        """True if differences are percentages of a loss; False if they are points of accuracy."""
        return self.changes.get("metric") == "test_loss"


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and the sweeps that test it."""

    says: str
    paper: str
    where: str
    """The paper's web address."""
    baseline: str
    others: Sequence[str]
    trials: Sequence[Trial]

    @property
    def compared(self) -> list[str]:
        """The names of the schedulers; the baseline is first."""
        return [self.baseline, *self.others]

    @property
    def cell(self) -> str:
        """The claim as a cell of the page's table."""
        return f"{self.says} ([{self.paper}]({self.where}))"

    def overrides(self, trial: Trial) -> list[str]:
        """The `-S` options for a trial's sweep."""
        own = {f"+schedulers.{name}": settings for name, settings in trial.schedulers.items()}
        asked = {"task": trial.task, "scheduler": f"[{','.join(self.compared)}]", "baseline": self.baseline}
        return [f"{key}={value}" for key, value in {**own, **asked, "seeds": "auto", **trial.changes}.items()]


def lambda_lr(formula: str) -> str:
    """Return the entry in params.yaml for a scheduler with the given formula."""
    return f"{{class: LambdaLR, interval: batch, lr_lambda: '{formula}'}}"


WARM = {
    **dict.fromkeys(("warmup-cosine", "linear-to-zero", "wsd", "wsd-sqrt"), "{interval: batch, warmup: 50 steps}"),
    "schedule-free": "{warmup: 50 steps}",
}


def on_language(*more: float) -> Trial:
    """Return a trial with a language model. Several claims use it, but the runs that they share are trained once.

    Args:
        more: further base rates, for claims where the best of the usual three rates is the lowest or the highest.
    """
    rates = sorted((0.003, 0.006, 0.012, *more))
    changes = {
        "tasks.imdb-gpt.epochs": "1",
        "tasks.imdb-gpt.train_subset": "8192",
        **{f"++tasks.imdb-gpt.schedulers.{name}": warm for name, warm in WARM.items()},
        "lr": f"[{joined(rates)}]",
        "seeds": "5",
        "metric": "test_loss",
        "margin": "1",
    }
    about = f"AdamW at {joined(rates)}, 1,024 steps, the first 50 a warm-up"
    return Trial(changes, about, "imdb-gpt", {"cosine-to-tenth": lambda_lr(THE_SAME_AFTER_50)})


def claims() -> list[Claim]:
    return [
        Claim(
            "A linear decay to zero beats a cosine to 10% of the rate",
            "Bergsma et al. 2025",
            "https://arxiv.org/abs/2502.15938",
            "cosine-to-tenth",
            ["linear-to-zero"],
            [
                Trial(
                    ADAMW,
                    "AdamW, both with a warm-up",
                    schedulers={"cosine-to-tenth": lambda_lr(COSINE_TO_A_TENTH)},
                ),
                on_language(0.0015),
            ],
        ),
        Claim(
            "In warmup-stable-decay, 1 - sqrt beats a linear decay",
            "Hägele et al. 2024",
            "https://arxiv.org/abs/2405.18392",
            "wsd",
            ["wsd-sqrt"],
            [Trial(ADAMW, "AdamW"), on_language()],
        ),
        Claim(
            "Warmup-stable-decay is as good as a cosine",
            "Hägele et al. 2024",
            "https://arxiv.org/abs/2405.18392",
            "warmup-cosine",
            ["wsd-sqrt"],
            [Trial(ADAMW, "AdamW, both with a warm-up"), on_language(0.024)],
        ),
        Claim(
            "Without a schedule, schedule-free AdamW matches a tuned cosine",
            "Defazio et al. 2024",
            "https://arxiv.org/abs/2405.15682",
            "warmup-cosine",
            ["schedule-free"],
            [Trial(ADAMW, "AdamW"), on_language(0.024)],
        ),
        Claim(
            "Averaging the weights of a constant rate replaces a decay",
            "Izmailov et al. 2018; Hägele et al. 2024",
            "https://arxiv.org/abs/1803.05407",
            "cosine",
            ["swa", "ema"],
            [Trial({"lr": "[0.025,0.05,0.1,0.2]"}, "SGD")],
        ),
        Claim(
            "REX is best when the budget is short",
            "Chen et al. 2022",
            "https://arxiv.org/abs/2107.04197",
            "linear-to-zero",
            ["rex", "cosine", "step", "exponential", "onecycle"],
            [Trial({**SGD, "tasks.digits-mlp.epochs": "4"}, "SGD, 4 epochs")],
        ),
        Claim(
            "One cycle needs fewer epochs than steps",
            "Smith & Topin 2018",
            "https://arxiv.org/abs/1708.07120",
            "step",
            ["onecycle"],
            [Trial({"lr": "[0.05,0.1,0.2,0.4]", "tasks.digits-mlp.epochs": "6"}, "SGD, 6 epochs, rates up to 0.4")],
        ),
        Claim(
            "Warm restarts help",
            "Loshchilov & Hutter 2017",
            "https://arxiv.org/abs/1608.03983",
            "cosine",
            ["cosine-restarts"],
            [Trial(SGD, "SGD, one restart in the middle")],
        ),
        Claim(
            "Adam needs a warm-up",
            "Ma & Yarats 2019",
            "https://arxiv.org/abs/1910.04209",
            "cosine",
            ["warmup-cosine"],
            [Trial(ADAM, "Adam, with and without a warm-up over 10% of the run")],
        ),
    ]


def checked(claim: Claim, trial: Trial, jobs: int, cache: Path) -> tuple[dict[str, Any], str]:
    """Run a trial's sweep; return the content of schedulers.json and the answer in one sentence."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_text(folder / "params.yaml", (ROOT / "params.yaml").read_text(encoding="utf-8"))
        (folder / ".cache").symlink_to(cache, target_is_directory=True)
        apply_overrides(folder / "params.yaml", claim.overrides(trial))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIPELINE_JOBS": str(jobs)}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        for command in ("download", "train", "evaluate"):
            subprocess.run([sys.executable, "-m", "pipeline", command], cwd=folder, check=True, env=environment)
        schedulers: dict[str, Any] = json.loads((folder / "results" / "schedulers.json").read_text(encoding="utf-8"))
        answer = json.loads((folder / "results" / "answer.json").read_text(encoding="utf-8"))
    return schedulers, answer["headline"]


def verdict(claim: Claim, trial: Trial, schedulers: Mapping[str, Any], answer: str) -> str:
    """Return a trial's verdict: the answer, and how far each scheduler is from the baseline, with an interval."""

    def shown(difference: float) -> str:  # losses are compared by their logarithms
        return f"{100 * (-math.expm1(-difference) if trial.compares_losses else difference):+.2f}"

    told = []
    for name in claim.others:
        found = schedulers[name]
        told.append(
            f"{name} is {found['verdict']}: {shown(found['difference'])} "
            f"({shown(found['low'])} to {shown(found['high'])})"
        )
    return f"{answer} Against {claim.baseline}, {'; '.join(told)}."


def joined(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def row(claim: Claim, trial: Trial, jobs: int) -> str:
    """Run a trial of a claim, and return its row in the page's table."""
    schedulers, answer = checked(claim, trial, jobs, ROOT / ".cache")
    of = [schedulers[name] for name in claim.compared]
    ran = f"{', '.join(claim.compared)}: {trial.about}"
    ran += f"; seeds {joined(each['seeds'] for each in of)}, own rates {joined(each['lr'] for each in of)}"
    if trial.compares_losses:
        ran += f", losses {', '.join(format(each['test_loss'], '.3f') for each in of)}"
    return f"| {claim.cell} | {trial.task} | {ran} | {verdict(claim, trial, schedulers, answer)} |"


def main(
    only: Annotated[str, typer.Option(help="Test only claims whose text or task contains this. Other rows stay.")] = "",
    jobs: int = CORES,
) -> None:
    head, _, table = PAGE.read_text(encoding="utf-8").partition("| claim |")
    rows = {tuple(line.split(" | ")[:2]): line for line in table.splitlines()}  # keyed by claim and task
    trials = {(f"| {claim.cell}", trial.task): (claim, trial) for claim in claims() for trial in claim.trials}
    wanted = {
        place: (claim, trial)
        for place, (claim, trial) in trials.items()
        if only.lower() in f"{claim.says}\n{trial.task}".lower()
    }
    if not wanted:
        raise typer.BadParameter(f"{only!r} is in no claim, and in no name of a task", param_hint="--only")
    (ROOT / ".cache").mkdir(exist_ok=True)
    for place, (claim, trial) in wanted.items():
        rows[place] = row(claim, trial, jobs)
        console.print(rows[place], markup=False, highlight=False, soft_wrap=True)
    shown = [rows[place] for place in trials if place in rows]
    title = ["| claim | task | what we ran | verdict here |", "|---|---|---|---|"]
    write_text(PAGE, head + "\n".join([*title, *shown]) + "\n")


if __name__ == "__main__":
    typer.run(main)
