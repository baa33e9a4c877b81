"""Reads the formulas and sources of schedules from docstrings, and writes the table for docs/schedules.md."""

import inspect
import re
from collections.abc import Mapping

from pipeline.schedules.base import Schedule


def table(schedulers: Mapping[str, Schedule]) -> str:
    """Return a Markdown table with the name, class, learning rate and source of each scheduler."""
    rows = ["| name | class | learning rate | source |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | `{schedule.class_}` | {formula(schedule)} | {_short(source(schedule))} |"
        for name, schedule in schedulers.items()
    ]
    return "\n".join(rows)


def formula(schedule: Schedule) -> str:
    """Return the formula of the learning rate and, if the schedule has an average, the formula of the average."""
    return "; ".join(docstring.partition("\n")[0] for docstring in _docstrings(schedule))


def source(schedule: Schedule) -> str:
    """Return the sources of the schedule and of any average, or an empty string if the docstrings name no source."""
    sources = [" ".join(docstring.partition("Source: ")[2].split()) for docstring in _docstrings(schedule)]
    return "; ".join(source.rstrip(".") for source in sources if source)


def _docstrings(schedule: Schedule) -> list[str]:
    """Return the docstrings of the schedule's class and, if the schedule has an average, of the average's class."""
    parts = [schedule] if schedule.average is None else [schedule, schedule.average]
    return [inspect.cleandoc(type(part).__doc__ or "") for part in parts]


def _short(source: str) -> str:
    """Return a source, such as `Smith 2017, arXiv:1506.01186`, without the titles of papers."""
    return re.sub(r' "[^"]*",', ",", source).replace(",,", ",")
