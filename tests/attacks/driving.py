"""Run all stages of a project in this process, as the commands would run them."""

import ast
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from ruamel.yaml import YAML

from pipeline.errors import ExternalError, UserError
from pipeline.export import TARGETS
from pipeline.runs import params
from pipeline.stages import download, evaluate, export, find_lr, plan, preview, train
from pipeline.stages.common import RESULTS
from tests.attacks.inline import InlineMachine
from tests.attacks.settings import Project

SECONDS = float(os.environ.get("ATTACK_SECONDS", "0"))
"""Seconds to spend on random projects and figures; with 0, only the suite's fixed ones are tried."""
UNREADABLE = re.compile(r"\b(nan|inf|None)\b")
KEPT = ("mlflow.db", "mlartifacts")
"""Files of an earlier project that are kept."""


def furnish(folder: Path, project: Project) -> None:
    """Write a project into a folder, after removing any earlier project from the folder."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(project.content, file)
    project.data.write(folder)


class Driver:
    """Runs the stages of the project in the current folder. Every stage must end with a result or a one-line error."""

    def __init__(self) -> None:
        self.screen = io.StringIO()
        self.console = Console(file=self.screen, width=120)
        self.refusals: list[str] = []

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Let the block end with an error, but only if the error's message is one line."""
        try:
            yield
        except (UserError, ExternalError) as error:
            line = str(error)
            assert line, "an error without a message"
            assert "\n" not in line, f"an error of several lines: {line!r}"
            self.refusals.append(line)

    def sweep(self) -> None:
        """Run plan, download, train and evaluate."""
        with self.refusing():
            plan.plan(params.load())
            download.download(params.load(), self.console.print)
            assert train.train(params.load(), self.console, InlineMachine())
            evaluate.evaluate(params.load(), self.console, InlineMachine())
            self.check_results()

    def look(self, names: list[str]) -> None:
        """Preview the schedulers, and run a range test."""
        with self.refusing():
            preview.draw(self.console, names)
        with self.refusing():
            find_lr.find_lr(self.console, InlineMachine(), seeds=1)

    def export(self, names: list[str]) -> None:
        """Export the schedulers for every library, and check that the exported code is valid Python."""
        for target in TARGETS:
            for name in (None, *names):
                with self.refusing():
                    ast.parse(export.export(name, target))

    def check_results(self) -> None:
        """Check that the terminal output, the beginning of the report and the JSON files are readable."""
        check_readable(self.screen.getvalue())
        check_readable((RESULTS / "report.md").read_text(encoding="utf-8").partition("## ")[0])
        check_json(RESULTS)


def check_readable(text: str) -> None:
    """Check that a text contains no NaN, infinity or None."""
    assert not UNREADABLE.search(text), text


def check_json(folder: Path) -> None:
    """Check that the JSON files in a folder are strict JSON, which has no NaN or Infinity."""
    for name in ("metrics.json", "schedulers.json"):
        json.loads((folder / name).read_text(encoding="utf-8"), parse_constant=_refuse)


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")
