"""Write text with the language model of a task."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.errors import UserError
from pipeline.settings import problems
from pipeline.settings.sampling import Sampling
from pipeline.stages.common import DATA, MODELS, prepared_data, root, trained_runs

if TYPE_CHECKING:
    from pipeline.params import Params


def sample(
    params: "Params", prompt: str, how: Mapping[str, float], tell: Callable[[str], None] = lambda line: None
) -> str:
    """Return how a text goes on, by the task's champion in MLflow, or else by the best run of the last sweep.

    Args:
        params: of the task.
        prompt: the beginning of the text.
        how: how much, and how it is drawn: the settings of `Sampling`.
        tell: called with a line on the model that writes.

    Raises:
        UserError: the task is no language model, none is trained, or what is asked for is not allowed.
    """
    dataset = params.run_task.dataset
    if dataset.kind != "tokens":
        raise UserError(
            f"sample: task {params.task} is no language model: {dataset.name} has {dataset.kind}s; allowed: tasks on "
            "text-file or imdb-text"
        )
    try:
        settings = Sampling.model_validate(how)
        prompt.encode()
    except ValidationError as error:
        raise UserError(f"sample: {problems.summary(error)}") from None
    except UnicodeEncodeError:
        raise UserError("sample: the prompt is not UTF-8") from None
    model = _champion(params.task, tell) or _best(params, tell)
    from pandas import DataFrame

    continued: str = model.predict(DataFrame({"text": [prompt]}), params=settings.model_dump())[0]
    return prompt + continued


def _champion(task: str, tell: Callable[[str], None]) -> Any:
    """Load the registered model of a task; None if there is none."""
    from pipeline.tracking.client import connect, store_uri

    uri = store_uri(root())
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return None
    from pipeline.tracking.registry import champion, load

    if (found := champion(connect(uri, task), task)) is None:
        return None
    tell(f"models:/{task}@champion: version {found.version}, {found.tags.get('scheduler', 'of another project')}")
    return load(uri, found)


def _best(params: "Params", tell: Callable[[str], None]) -> Any:
    """Load the run of the sweep in models/ that validates best."""
    from pipeline.tracking.serving import Network

    prepared_data(params)
    trained, _ = trained_runs(params)
    finished = [record for record in trained if record.outcome == "finished"]
    if not finished:
        raise UserError(f"{MODELS}: all runs of {params.task} have failed")
    best = min(finished, key=lambda record: record.last.val_loss)
    tell(f"{best.run.name}, which validates best in {MODELS}/: {params.task} has no champion yet")
    return Network(MODELS / best.run.name, DATA)
