"""Instructions for reproducing a report. The same inputs always give the same instructions."""

import hashlib
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ruamel.yaml import YAML

from pipeline import user_code
from pipeline.datasets import Summary
from pipeline.runs.fingerprint import builders
from pipeline.runs.params import Params
from pipeline.runs.records import Record
from pipeline.settings import Settings

SECTIONS = ("tasks", "optimizers", "schedulers")
"""The sections of params.yaml that `settings` returns. The shell command that `command` returns sets all other keys."""


@dataclass(frozen=True)
class Code:
    """A file of the user's own code."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the file's text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Reproduction:
    """Everything that is needed to rerun the sweep of a report."""

    task: str
    about: str
    """A line that describes the task: its model, data, loss, epochs and options."""
    command: str
    """The shell command that runs the sweep; it sets every key of params.yaml outside the `SECTIONS`."""
    settings: str
    """YAML for the `SECTIONS` of params.yaml, reduced to the task, optimizers and schedulers of the sweep."""
    user_code: list[Code]
    """The source files of the user's own models, schedules and optimizers."""
    environment: dict[str, str]
    """The kind of device and the package versions, all of which can change results."""


def reproduction(params: Params, summary: Summary, trained: Sequence[Record]) -> Reproduction:
    """Return how to reproduce a sweep's report. All runs must have used the same kind of device and torch version."""
    own = [package for package in params.run_task.packages if package != "torch"]
    packages = {package: version(package) for package in ("numpy", "scipy", *own)}
    return Reproduction(
        task=params.task,
        about=params.run_task.describe(summary),
        command=command(params),
        settings=_yaml(settings(params)),
        user_code=_user_code(params),
        environment={"device": trained[0].device, "torch": trained[0].torch} | packages,
    )


def command(params: Params) -> str:
    """Return the shell command that runs the same sweep, given a params.yaml with the result of `settings`."""
    keys = [key for key in type(params).model_fields if key not in SECTIONS]
    overrides = [f"{key}={_override(key, getattr(params, key))}" for key in keys]
    return " ".join(["uv run dvc exp run", *(f"-S {shlex.quote(override)}" for override in overrides)])


def _override(key: str, value: Any) -> str:
    """Return a value in the syntax of `dvc exp run -S`."""
    if value is None:
        return "null"
    if key == "seeds" and value == list(range(len(value))):
        return str(len(value))
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value)


def settings(params: Params) -> dict[str, Any]:
    """Return the parts of the `SECTIONS` of params.yaml that the sweep uses.

    The shell command that `command` returns sets all keys outside these sections.
    """
    task = params.run_task
    named = params.optimizer or task.optimizer
    optimizers = [*_listed(named), *_listed(task.optimizer)]
    schedulers = [*params.chosen_schedulers(), params.baseline]
    plain = _plain(task)
    for section, used in (("optimizers", optimizers), ("schedulers", schedulers)):
        if section in plain:  # it is an error to change what params.yaml does not define
            plain[section] = {name: changes for name, changes in plain[section].items() if name in used}
    return {
        "tasks": {params.task: plain},
        "optimizers": {name: _plain(params.optimizers[name]) for name in params.optimizers if name in optimizers},
        "schedulers": {name: _plain(params.schedulers[name]) for name in params.schedulers if name in schedulers},
    }


def _listed(names: str | list[str]) -> list[str]:
    return names if isinstance(names, list) else [names]


def _plain(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _yaml(content: dict[str, Any]) -> str:
    yaml = YAML()
    yaml.default_flow_style = None  # puts innermost mappings and lists on one line
    yaml.width = 10_000
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()


def _user_code(params: Params) -> list[Code]:
    """Return the source files of the modules or packages that define the user's builders."""
    files = {file: folder for _, name in builders(params) for folder, file in user_code.files(name)}
    return [
        Code(file.relative_to(folder).as_posix(), file.read_text(encoding="utf-8", errors="replace"))
        for file, folder in files.items()
    ]
