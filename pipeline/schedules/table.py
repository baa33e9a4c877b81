"""The table of schedules in docs/schedules.md."""

import re
from collections.abc import Mapping

from pipeline.schedules.base import Schedule


def table(schedulers: Mapping[str, Schedule]) -> str:
    """Return a Markdown table of schedulers: name, class, learning rate and source of each.

    Args:
        schedulers: by name, as `params.Params` has them.
    """
    rows = ["| name | class | learning rate | source |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | `{schedule.class_}` | {formula(schedule)} | {_short(source(schedule))} |"
        for name, schedule in schedulers.items()
    ]
    return "\n".join(rows)


def formula(schedule: Schedule) -> str:
    """Return the learning rate as a formula, and what is averaged if the schedule's settings have an average."""
    return "; ".join([schedule.formula(), *([schedule.average.formula()] if schedule.average else [])])


def source(schedule: Schedule) -> str:
    """Return where the schedule was published, and its average if its settings have one."""
    sources = [schedule.source(), schedule.average.source() if schedule.average else ""]
    return "; ".join(each for each in sources if each)


def _short(source: str) -> str:
    """Return a source without titles: authors, year and arXiv number."""
    return re.sub(r' "[^"]*",', ",", source).replace(",,", ",")
