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
        f"| `{name}` | `{schedule.class_}` | {schedule.formula()} | {_short(schedule.source())} |"
        for name, schedule in schedulers.items()
    ]
    return "\n".join(rows)


def _short(source: str) -> str:
    """Return a source without titles: authors, year and arXiv number."""
    return re.sub(r' "[^"]*",', ",", source).replace(",,", ",")
