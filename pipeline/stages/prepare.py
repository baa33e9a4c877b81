"""Before training: check what is wanted, and get the data."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline import datasets, user_files
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.runs import fingerprint
from pipeline.stages.common import CACHE, DATA, PLAN, check_loss, root

if TYPE_CHECKING:
    from pipeline.datasets import Summary
    from pipeline.runs.params import Params


def plan(params: "Params") -> None:
    """Write down what DVC cannot see by itself: the content of the user's files, the user's own code.

    Raises:
        UserError: one of them does not exist, or torchvision does not build its model so.
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


def download(params: "Params", tell: Callable[[str], None] = lambda line: None) -> "Summary":
    """Get the data of the task, and prepare them in data/; ``tell`` is called with each line on what they are.

    Raises:
        UserError: they cannot be had, or the task's loss does not fit them.
    """
    prepared = datasets.prepare(params.run_task.dataset, DATA, root(), tell)
    check_loss(params, prepared)
    return prepared
