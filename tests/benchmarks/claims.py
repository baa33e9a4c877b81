"""What papers say of schedules, checked here: writes docs/claims.md.

    python -m tests.benchmarks.claims [--only WORD] [--jobs N]

Each claim is a small sweep, run by the commands that everybody uses in a folder of its own. Finished runs come from the
project's run cache, so that a second time costs little.
"""

import json
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
"""A linear warm-up over 10% of the run, then half a cosine down to 10% of the base rate."""
SGD = {"lr": "[0.05,0.1,0.2]"}
ADAM = {"optimizer": "adam", "lr": "[0.003,0.01,0.03,0.1]"}
ADAMW = {"optimizer": "adamw", "lr": "[0.003,0.01,0.03,0.1]"}


@dataclass(frozen=True)
class Claim:
    """One claim, and the sweep that tries it."""

    says: str
    paper: str
    where: str
    """The address of the paper."""
    baseline: str
    others: Sequence[str]
    changes: Mapping[str, str]
    """More keys of params.yaml."""
    about: str
    """What was run, in words; the schedulers follow."""
    schedulers: Mapping[str, str] = field(default_factory=dict)
    """Entries that params.yaml lacks."""

    @property
    def overrides(self) -> list[str]:
        """The `-S` values of the sweep."""
        own = {f"+schedulers.{name}": settings for name, settings in self.schedulers.items()}
        found = {**own, "scheduler": f"[{','.join([self.baseline, *self.others])}]", "baseline": self.baseline}
        return [f"{key}={value}" for key, value in {**found, "seeds": "auto", **self.changes}.items()]


def claims() -> list[Claim]:
    tenth = {"cosine-to-tenth": f"{{class: LambdaLR, interval: batch, lr_lambda: '{COSINE_TO_A_TENTH}'}}"}
    return [
        Claim(
            "A linear decay to zero beats a cosine to 10% of the rate",
            "Bergsma et al. 2025",
            "https://arxiv.org/abs/2502.15938",
            "cosine-to-tenth",
            ["linear-to-zero"],
            ADAMW,
            "AdamW, both with a warm-up",
            tenth,
        ),
        Claim(
            "In warmup-stable-decay, 1 - sqrt beats a linear decay",
            "Hägele et al. 2024",
            "https://arxiv.org/abs/2405.18392",
            "wsd",
            ["wsd-sqrt"],
            ADAMW,
            "AdamW",
        ),
        Claim(
            "Warmup-stable-decay is as good as a cosine",
            "Hägele et al. 2024",
            "https://arxiv.org/abs/2405.18392",
            "warmup-cosine",
            ["wsd-sqrt"],
            ADAMW,
            "AdamW, both with a warm-up",
        ),
        Claim(
            "Without a schedule, schedule-free AdamW matches a tuned cosine",
            "Defazio et al. 2024",
            "https://arxiv.org/abs/2405.15682",
            "warmup-cosine",
            ["schedule-free"],
            ADAMW,
            "AdamW",
        ),
        Claim(
            "Averaging the weights of a constant rate replaces a decay",
            "Izmailov et al. 2018; Hägele et al. 2024",
            "https://arxiv.org/abs/1803.05407",
            "cosine",
            ["swa", "ema"],
            {"lr": "[0.025,0.05,0.1,0.2]"},
            "SGD",
        ),
        Claim(
            "REX is best when the budget is short",
            "Chen et al. 2022",
            "https://arxiv.org/abs/2107.04197",
            "linear-to-zero",
            ["rex", "cosine", "step", "exponential", "onecycle"],
            {**SGD, "tasks.digits-mlp.epochs": "4"},
            "SGD, 4 epochs",
        ),
        Claim(
            "One cycle needs fewer epochs than steps",
            "Smith & Topin 2018",
            "https://arxiv.org/abs/1708.07120",
            "step",
            ["onecycle"],
            {"lr": "[0.05,0.1,0.2,0.4]", "tasks.digits-mlp.epochs": "6"},
            "SGD, 6 epochs, rates up to 0.4",
        ),
        Claim(
            "Warm restarts help",
            "Loshchilov & Hutter 2017",
            "https://arxiv.org/abs/1608.03983",
            "cosine",
            ["cosine-restarts"],
            SGD,
            "SGD, one restart in the middle",
        ),
        Claim(
            "Adam needs a warm-up",
            "Ma & Yarats 2019",
            "https://arxiv.org/abs/1910.04209",
            "cosine",
            ["warmup-cosine"],
            ADAM,
            "Adam, with and without a warm-up over 10% of the run",
        ),
    ]


def checked(claim: Claim, jobs: int, cache: Path) -> tuple[dict[str, Any], str]:
    """Run a claim's sweep; return what schedulers.json says, and the answer in one sentence."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_text(folder / "params.yaml", (ROOT / "params.yaml").read_text(encoding="utf-8"))
        (folder / ".cache").symlink_to(cache, target_is_directory=True)
        apply_overrides(folder / "params.yaml", claim.overrides)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIPELINE_JOBS": str(jobs)}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        for command in ("download", "train", "evaluate"):
            subprocess.run([sys.executable, "-m", "pipeline", command], cwd=folder, check=True, env=environment)
        schedulers: dict[str, Any] = json.loads((folder / "results" / "schedulers.json").read_text(encoding="utf-8"))
        report = (folder / "results" / "report.md").read_text(encoding="utf-8")
    return schedulers, report.split("**")[1]


def verdict(claim: Claim, schedulers: Mapping[str, Any], answer: str) -> str:
    """Return a claim's verdict: the answer, and each difference to the baseline with its interval."""
    told = []
    for name in claim.others:
        found = schedulers[name]
        told.append(
            f"{name} is {found['verdict']}: {100 * found['difference']:+.2f} "
            f"({100 * found['low']:+.2f} to {100 * found['high']:+.2f})"
        )
    return f"{answer} Against {claim.baseline}, {'; '.join(told)}."


def joined(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def main(
    only: Annotated[str, typer.Option(help="Try those claims alone whose text has this in it; write no page.")] = "",
    jobs: int = CORES,
) -> None:
    rows = []
    (ROOT / ".cache").mkdir(exist_ok=True)
    for claim in claims():
        if only.lower() in claim.says.lower():
            schedulers, answer = checked(claim, jobs, ROOT / ".cache")
            of = [schedulers[name] for name in (claim.baseline, *claim.others)]
            ran = f"{', '.join([claim.baseline, *claim.others])}: digits, {claim.about}"
            ran += f"; seeds {joined(each['seeds'] for each in of)}, own rates {joined(each['lr'] for each in of)}"
            source = f"[{claim.paper}]({claim.where})"
            rows.append(f"| {claim.says} ({source}) | {ran} | {verdict(claim, schedulers, answer)} |")
            console.print(rows[-1], markup=False, highlight=False, soft_wrap=True)
    if not only:
        head, _, _ = PAGE.read_text(encoding="utf-8").partition("| claim |")
        table = ["| claim | what we ran | verdict here |", "|---|---|---|", *rows]
        write_text(PAGE, head + "\n".join(table) + "\n")


if __name__ == "__main__":
    typer.run(main)
