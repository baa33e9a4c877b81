"""A project for tests: its params.yaml and the results of its runs."""

import shutil
import tempfile
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.runs import params
from pipeline.runs.yaml_text import parse
from pipeline.sweep import cache as run_cache

if TYPE_CHECKING:
    import mlflow

ROOT = Path(__file__).parent.parent.parent
SCHEDULERS = list(params.load(ROOT / "params.yaml").schedulers)
FOREIGN = ("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning")
"""Filters for warnings of MLflow's dependencies, which tests ignore."""
FIXED = {"seeds": 5, "tasks.digits-mlp.lr": 0.15, "tasks.digits-mlp.epochs": 40}
"""Changes to params.yaml for most tests, which use one base rate and five seeds to keep the sweep small."""
EVERYTHING: dict[str, Any] = {
    "clip_grad_norm": 1.0,
    "label_smoothing": 0.1,
    "augment": ["RandomVerticalFlip", {"name": "RandomCrop", "size": [8, 8], "padding": 1}],
    "precision": "bfloat16",
    "accumulate": 3,
    "no_decay": ["bias", "norm"],
}
"""A value for each optional setting of training."""
_parsed = cache(parse)


def load(**changes: Any) -> params.Params:
    """Return the project's params.yaml with `FIXED` and other keys changed; `a__b` stands for `a.b`.

    The file is parsed only once, because parsing takes ten times as long as everything else.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(params, "parse", lambda text, source: deepcopy(_parsed(text, source)))
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        return params.load(ROOT / "params.yaml", changes=FIXED | dotted)


def furnish(folder: Path, digits: Path, empty_store: Path) -> None:
    """Put params.yaml, the prepared digits and an empty store into a folder."""
    shutil.copy(ROOT / "params.yaml", folder)
    edit(folder, **FIXED)
    shutil.copy(empty_store, folder)
    shutil.copytree(digits, folder / "data")
    share_ranges(folder, empty_store)


def share_ranges(folder: Path, empty_store: Path) -> None:
    """Let all projects share a cache of range tests, because most of them train the same network."""
    (shared := empty_store.parent / "ranges").mkdir(exist_ok=True)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "ranges").symlink_to(shared)


def edit(project: Path, **changes: Any) -> None:
    """Change keys in the project's params.yaml, as `dvc exp run -S` does."""
    file = project / "params.yaml"
    assignments = (f"{key.replace('__', '.')}={value}" for key, value in changes.items())
    file.write_text(_edited(file.read_text(), *assignments))


@cache
def _edited(text: str, *changes: str) -> str:
    """Return the text of params.yaml with changes; the result is cached, because this takes a quarter of a second."""
    from dvc.utils.hydra import apply_overrides

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(text)
        apply_overrides(file, list(changes))
        return file.read_text()


def set_model(project: Path, **model: Any) -> None:
    """Replace the model of digits-mlp in the project's params.yaml; `edit` can change only existing keys."""
    from ruamel.yaml import YAML

    content = YAML().load(project / "params.yaml")
    content["tasks"]["digits-mlp"]["model"] = model
    YAML().dump(content, project / "params.yaml")


def add_task(project: Path, task: str) -> None:
    """Insert an entry at the start of the tasks in the project's params.yaml."""
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("\ntasks:\n", "\ntasks:\n" + task.removeprefix("\n")))


def trained(project: Path) -> list[str]:
    """Return the names of the trained runs in models/."""
    return sorted(file.parent.name for file in (project / "models").glob("[!.]*/run.json"))


def checkpoints(project: Path) -> list[Path]:
    """Return the paths of the project's checkpoints."""
    return list((project / ".cache" / run_cache.CHECKPOINTS).glob("[!.]*"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder, keyed by relative path."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def weights(project: Path) -> dict[str, bytes]:
    """Return the bytes of the trained weights in models/, keyed by the run's name."""
    return {file.parent.name: file.read_bytes() for file in (project / "models").glob("*/model.safetensors")}


def tracked(uri: str, task: str = "digits-mlp", comparison: bool = False) -> "list[mlflow.entities.Run]":
    """Return the trained runs of a task in a store, oldest first; with ``comparison``, return the runs of verdicts."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(task)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=10_000, order_by=["attributes.start_time"])
    return [run for run in runs if run.data.tags.get("kind") == ("comparison" if comparison else None)]


def statuses(project: Path) -> dict[str, list[str]]:
    """Return the statuses of the project's MLflow runs, keyed by the run's name."""
    by_name: dict[str, list[str]] = {}
    for run in tracked(f"sqlite:///{project}/mlflow.db"):
        by_name.setdefault(run.info.run_name, []).append(run.info.status)
    return by_name
