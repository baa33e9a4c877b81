"""Before training: check what is wanted, and get the data."""

import json
from typing import TYPE_CHECKING

from pipeline import data
from pipeline.data import user_files
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.stages.common import CACHE, DATA, PLAN, root
from pipeline.sweep import fingerprint

if TYPE_CHECKING:
    from pipeline.data import Summary
    from pipeline.params import Params


def plan(params: "Params") -> None:
    """Write down what DVC cannot see by itself: the content of the user's files, the user's own code.

    Raises:
        UserError: one of them does not exist.
    """
    task = params.run_task
    files = user_files.digests(task.dataset, root(), root() / CACHE / "digests.json")
    code: dict[str, str] = {}
    for what, name in fingerprint.builders(params):
        if not (found := fingerprint.user_files(name)):
            raise UserError(f"{what} {name}: {name.partition(':')[0]} is neither a module nor a package here")
        code |= found
    for name, content in (("data", files), ("code", dict(sorted(code.items())))):
        write_text(PLAN / f"{name}.json", json.dumps(content, indent=2) + "\n")


def download(params: "Params") -> "Summary":
    """Get the data of the task, and prepare them in data/."""
    return data.prepare(params.run_task.dataset.resolve(), DATA, root())
