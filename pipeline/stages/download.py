"""Get the data of a task."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline import datasets
from pipeline.stages.common import DATA, check_loss, root

if TYPE_CHECKING:
    from pipeline.datasets import Summary
    from pipeline.runs.params import Params


def download(params: "Params", tell: Callable[[str], None] = lambda line: None) -> "Summary":
    """Get the task's data, and prepare them in data/; ``tell`` is called with each message for the user.

    Raises:
        UserError: the data cannot be obtained, or the task's loss does not fit them.
    """
    prepared = datasets.prepare(params.run_task.dataset, DATA, root(), tell)
    check_loss(params, prepared)
    return prepared
