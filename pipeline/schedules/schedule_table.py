"""The table of schedules in docs/schedules.md."""

import re
from collections.abc import Mapping

from pipeline.schedules.base import Schedule


def table(schedulers: Mapping[str, Schedule]) -> str:
    """Return a Markdown table of schedulers by name, with class, learning rate and source."""
    rows = ["| name | class | learning rate | source |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | `{schedule.class_}` | {formula(schedule)} | {_short(source(schedule))} |"
        for name, schedule in schedulers.items()
    ]
    return "\n".join(rows)


def formula(schedule: Schedule) -> str:
    """Return the formula of the learning rate, and of the average if the schedule's settings have one."""
    return "; ".join([schedule.formula(), *([schedule.average.formula()] if schedule.average else [])])


def source(schedule: Schedule) -> str:
    """Return the source of the schedule, and of its average if its settings have one."""
    sources = [schedule.source(), schedule.average.source() if schedule.average else ""]
    return "; ".join(filter(None, sources))


def _short(source: str) -> str:
    """Return a source without titles: authors, year and arXiv number."""
    return re.sub(r' "[^"]*",', ",", source).replace(",,", ",")
