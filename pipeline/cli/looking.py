"""Commands that show the run cache, MLflow's UI and the schedulers, without training anything."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import TaskName, console, names


def cache(
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Remove runs that have not been used for this long.")
    ] = None,
    larger_than: Annotated[
        float | None, typer.Option(min=0, metavar="MB", help="Remove the runs unused for longest, down to this size.")
    ] = None,
) -> None:
    """List the run cache, which keeps every trained run, and optionally prune it by age or size."""
    from pipeline.report import terminal
    from pipeline.stages import common
    from pipeline.sweep import cache as runs

    folder = common.root() / common.CACHE
    if older_than is not None or larger_than is not None:
        gone = runs.prune(folder, older_than, None if larger_than is None else round(larger_than * 1e6))
        typer.echo(f"removed {len(gone)} runs, {sum(entry.size for entry in gone) / 1e6:.1f} MB")
    terminal.print_cache(console(), list(runs.entries(folder)))


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port.", show_default="5000 or next")] = None,
) -> None:
    """Start the MLflow UI, and print links to the most useful pages."""
    from pipeline.runs import params
    from pipeline.stages import mlflow_ui

    links, serve = mlflow_ui.ui(params.load(), host, port)
    width = max(map(len, links))
    for page, link in links.items():
        typer.echo(f"{page:<{width}}  {link}")
    sys.stdout.flush()
    serve()


def schedules(
    names: Annotated[
        list[str] | None, typer.Argument(autocompletion=names("schedulers"), show_default="a table")
    ] = None,
    task: TaskName = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Another number of epochs.")] = None,
    lr: Annotated[float | None, typer.Option(help="Another base rate.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another setting.")] = None,
    png: Annotated[Path | None, typer.Option(help="The picture's file.", show_default="results/schedules.png")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown, as in docs/schedules.md.")
    ] = False,
) -> None:
    """Print a table of all schedulers, or draw the learning-rate curves of the named schedulers, without training."""
    from pipeline.stages import preview

    if not names:
        preview.print_table(console(), markdown)
        return
    target = preview.draw(console(), names, task, epochs, lr, settings or [], png)
    typer.echo(f"drawn in {target}")
