"""Write digests of the user's own files and code, which DVC cannot see."""

import json
from typing import TYPE_CHECKING

from pipeline import user_files
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.runs import fingerprint
from pipeline.stages.common import CACHE, PLAN, root

if TYPE_CHECKING:
    from pipeline.runs.params import Params


def plan(params: "Params") -> None:
    """Write digests of the task's files to plan/data.json, and digests of the user's code to plan/code.json.

    Raises:
        UserError: a file or a module does not exist, or torchvision rejects the settings of a model.
    """
    task = params.run_task
    files = user_files.digests(task.dataset.files, root(), root() / CACHE / "digests.json")
    code: dict[str, str] = {}
    for what, name in fingerprint.builders(params):
        if not (found := fingerprint.user_files(name)):
            raise UserError(f"{what} {name}: {name.partition(':')[0]} is neither a module nor a package here")
        code |= found
    task.model.check()
    code |= user_files.digests(task.files, root(), root() / CACHE / "digests-model.json")
    for name, content in (("data", files), ("code", dict(sorted(code.items())))):
        write_text(PLAN / f"{name}.json", json.dumps(content, indent=2) + "\n")
