"""Print the table of schedules that docs/schedules.md has: `uv run python -m pipeline.schedules`."""

from pipeline import params
from pipeline.schedules import table

print(table(params.load().schedulers))
