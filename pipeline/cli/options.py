"""Options that several commands share, and the console that the commands print to."""

import os
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from pipeline.errors import UserError

Jobs = Annotated[
    int | None,
    typer.Option(min=1, envvar="PIPELINE_JOBS", help="Worker processes.", show_default="all cores"),
]
Device = Annotated[
    str,
    typer.Option(envvar="PIPELINE_DEVICE", help="auto, cpu, cuda, cuda:1, mps ... auto takes a GPU if there is one."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        envvar="PIPELINE_CLUSTER",
        metavar="auto|HOST:PORT",
        help="Use the Ray cluster that this machine belongs to.",
        show_default="this machine alone",
    ),
]
CheckpointEvery = Annotated[
    float,
    typer.Option(
        min=0,
        envvar="PIPELINE_CHECKPOINT_EVERY",
        metavar="SECONDS",
        help="Time between two checkpoints of a run.",
    ),
]
TrackEvery = Annotated[
    float,
    typer.Option(
        min=0,
        envvar="PIPELINE_TRACK_EVERY",
        metavar="SECONDS",
        help="Time between two updates of a run in MLflow.",
    ),
]


def names(section: str) -> Callable[[str], list[str]]:
    """Return a shell-completion function that suggests the names in a section of params.yaml."""

    def complete(incomplete: str) -> list[str]:
        from pipeline.runs import params

        try:
            return [name for name in getattr(params.load(), section) if name.startswith(incomplete)]
        except UserError:
            return []

    return complete


TaskName = Annotated[
    str | None, typer.Option(help="The task.", autocompletion=names("tasks"), show_default="params.yaml's")
]


def console() -> Console:
    """Return the console to print to. Output to a log file is 120 columns wide, which is enough for every table."""
    default = Console()
    return default if default.is_terminal or "COLUMNS" in os.environ else Console(width=120)
