"""MLflow: the only module that imports it, in the parent process only."""

import hashlib
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import quote

import numpy as np
from filelock import FileLock

from pipeline import git, params
from pipeline.comparison.learning_curves import learning_curve
from pipeline.data import TOKENIZER, Summary, example
from pipeline.errors import ExternalError, UserError
from pipeline.records import Record, Score, Timing
from pipeline.settings.tasks import Task
from pipeline.training import user_model as own
from pipeline.training.weights import Layer

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that is down should be told of within seconds; by itself MLflow tries for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
# Into every model it would copy the lock file, which names the package registry of whoever trained it.
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag

logging.getLogger("alembic").setLevel(logging.WARNING)  # a new store tells of each of its migrations
logging.getLogger("urllib3").setLevel(logging.ERROR)  # each attempt to reach a server that is down
# Each model tells of its steps, and that uv brings no pip; a store that fails, with a traceback before it raises.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

METRICS = {"lr": "lr", "train_loss": "train/loss", "val_loss": "val/loss", "val_accuracy": "val/accuracy"}
"""MLflow's name of each figure of an epoch."""
EXPERIMENTS = "dvc.exp_name"
"""The tag that names the experiments of DVC which a run is part of, with commas between."""
NOTE = "mlflow.note.content"
"""The tag that an experiment's page shows at its top."""
COMPARISON = "comparison"
"""The name of the run that has what the others say together."""
PROJECT = "project"
"""The tag that says which checkout, on which machine, has logged a run."""
FINISHED = "FINISHED"
BATCH = 1000
"""Metrics that one call of `log_batch` takes at the most."""
SERVING_REQUIREMENTS = ("numpy", "pydantic", "ruamel.yaml", "safetensors", "simpleeval", "torch")


VIEW = "schedulers"
"""The name of the shared view of an experiment that draws one line a scheduler, the mean over its seeds."""


def serve(root: Path, host: str, port: int) -> NoReturn:
    """Become MLflow's own server on the project's store; as one process it ends whole when it is ended."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri(root)]
    command += ["--default-artifact-root", (root.resolve() / "mlartifacts").as_uri()]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # ten more processes that wait for jobs
    os.execv(sys.executable, [*command, "--host", host, "--port", str(port)])


def links(root: Path, server: str, name: str, best: Sequence[Record]) -> dict[str, str]:
    """The pages of the MLflow UI at ``server`` that show a task, by what they show.

    Args:
        root: the project's folder.
        server: the address of the UI, such as http://127.0.0.1:5000.
        name: of the task.
        best: the runs to compare.

    Raises:
        UserError: the store cannot be read, or has no such task.
    """
    try:
        client = MlflowClient(uri(root))
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            known = [_find(client, experiment.experiment_id, each.run.name, each.fingerprint) for each in best]
            wanted, order = f"attributes.run_name = '{COMPARISON}'", ["start_time DESC"]
            latest = client.search_runs([experiment.experiment_id], wanted, order_by=order, max_results=1)
    except Exception as error:
        raise UserError(f"MLflow: the store {uri(root)} cannot be used ({_reason(error)})") from None
    if experiment is None:
        raise UserError(f"MLflow: {uri(root)} has no runs of {name}; run `dvc repro` first")
    page = f"{server}/#/experiments/{experiment.experiment_id}/runs"
    found = {f"the latest verdict, its run `{COMPARISON}`": f"{page}/{run.info.run_id}" for run in latest}
    found |= {
        "charts, one line a scheduler": f"{page}?viewStateShareKey={VIEW}&compareRunsMode=CHART",
        "all runs": page,
    }
    if ids := [run.info.run_id for run in known if run]:
        runs, experiments = quote(json.dumps(ids)), quote(json.dumps([experiment.experiment_id]))
        found["each scheduler's best run"] = f"{server}/#/compare-runs?runs={runs}&experiments={experiments}"
    return found


def uri(root: Path) -> str:
    """The address of the store: ``MLFLOW_TRACKING_URI``, or `mlflow.db` at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def _find(client: MlflowClient, experiment: str, name: str, mark: str) -> Run | None:
    """The run of that name and fingerprint; where several are, one that is finished."""
    wanted = f"attributes.run_name = '{name}' and tags.fingerprint = '{mark}'"
    found = client.search_runs([experiment], wanted)
    return min(found, key=lambda run: run.info.status != FINISHED, default=None)


Method = TypeVar("Method", bound=Callable[..., None])


def _tolerant(method: Method) -> Method:
    """Let a store that fails cost nothing but its own records; it is told of once, and left alone from then on."""

    @wraps(method)
    def attempt(self: "Store", *arguments: Any) -> None:
        if not self.failed:
            try:
                with self._lock:
                    method(self, *arguments)
            except Exception as error:
                self.failed = True
                self._warn(
                    f"MLflow: the store {self.uri} failed ({_reason(error)}); results are kept, untracked: "
                    "`python -m pipeline track` logs them when it is back"
                )

    return cast("Method", attempt)


class Store:
    """The MLflow experiment of one task.

    A store that fails later, in the middle of a sweep, costs no result: it is told of once and left alone.

    Args:
        root: the project's folder.
        name: of the task.
        task: what the experiment's note says.
        data: that the task is trained on.
        warn: called with one line when the store fails.
        timing: finds out when a run was trained that is logged later than that; None where nobody knows.

    Raises:
        UserError: the store cannot be reached, or is none.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        task: Task,
        data: Summary,
        warn: Callable[[str], None],
        timing: Callable[[Record], Timing | None] = lambda record: None,
    ) -> None:
        self.uri = uri(root)
        self.failed = False
        self._root = root.resolve()
        self._project = f"{socket.gethostname()}:{self._root}"
        self._data = data
        self._warn, self._timing = warn, timing
        # Four processes that create one SQLite store together break it for good, and two would log the same run.
        self._lock = FileLock(root / ".cache" / "mlflow.lock")
        (root / ".cache").mkdir(exist_ok=True)
        try:
            with self._lock:
                self.client = MlflowClient(self.uri)
                experiment = self.client.get_experiment_by_name(name)
        except Exception as error:  # requests, SQLAlchemy and MLflow each have their own
            raise UserError(
                f"MLflow: the store {self.uri} cannot be used ({_reason(error)}); "
                "set MLFLOW_TRACKING_URI to another, or unset it to use mlflow.db here"
            ) from None
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise UserError(
                f"MLflow: experiment {name!r} is deleted; "
                f"`mlflow experiments restore --experiment-id {experiment.experiment_id}` brings it back"
            )
        self._name, self._tagged = name, _experiment_tags(task, data)
        self._open(name, self._tagged)

    @_tolerant
    def _open(self, name: str, tags: dict[str, str]) -> None:
        experiment = self.client.get_experiment_by_name(name)
        if experiment is not None:
            self.experiment = experiment.experiment_id
        else:
            location = (self._root / "mlartifacts").as_uri() if self.uri.startswith("sqlite:") else None
            self.experiment = self.client.create_experiment(name, artifact_location=location)
        for tag, text in tags.items():
            self.client.set_experiment_tag(self.experiment, tag, text)
        # While this process has the lock, no other of this project is logging: what seems to be was killed at it.
        for run in self.client.search_runs([self.experiment], "attributes.status = 'RUNNING'", max_results=1000):
            if run.data.tags.get(PROJECT) == self._project:
                self.client.set_terminated(run.info.run_id, "KILLED")

    @_tolerant
    def log(self, record: Record, folder: Path, timing: Timing | None) -> None:
        """Log a trained run: parameters, tags, curve, and the files in ``folder``.

        A run that the store has already is not logged twice; it becomes part of this experiment of DVC, too.
        """
        self._logged(record, folder, timing)

    @_tolerant
    def log_failure(self, run: params.Run, mark: str, reason: str) -> None:
        """Log a run that could not be trained as FAILED, and why.

        Args:
            run: its settings.
            mark: its fingerprint.
            reason: in one line.
        """
        now = round(time.time() * 1000)
        tags = self._tags(run, mark) | {"outcome": f"failed: {reason}"}
        found = _find(self.client, self.experiment, run.name, mark)
        if found is not None and found.info.status == FINISHED:
            return  # it was trained some other time
        with self._running(found, run.name, now, tags) as run_id:
            self.client.log_batch(run_id, params=_params(run))
        self.client.set_terminated(run_id, "FAILED", now)

    @_tolerant
    def log_evaluation(self, record: Record, folder: Path, score: Score, layers: Sequence[Layer]) -> None:
        """Add to a run what evaluation finds.

        That is the figures of the test set, what its learning curve says, what became of its weights; and the data set,
        all its parts at once, as each call costs.

        Args:
            record: the run; it is logged first where the store lacks it.
            folder: where its files are.
            score: on the test set.
            layers: before and after training.
        """
        now = round(time.time() * 1000)
        curve = learning_curve(record)
        figures = {"test/loss": score.test_loss, "test/accuracy": score.test_accuracy}
        figures |= {"best_epoch": curve.best_epoch, "gap": curve.gap}
        # At step 0, as MLflow has a figure that is no curve: it draws such as bars.
        metrics = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
        run_id, has = self._logged(record, folder)
        if all(repr(has.get(metric.key)) == repr(float(metric.value)) for metric in metrics):  # nan is nan
            return
        self.client.log_inputs(run_id, [_input(self._data, part) for part in self._data.digests])
        self.client.log_dict(run_id, {"layers": [asdict(layer) for layer in layers]}, "parameters.json")
        self.client.log_batch(run_id, metrics, tags=[RunTag("learning_curve", str(curve))])

    @_tolerant
    def log_comparison(self, records: Sequence[Record], about: str, files: Sequence[Path], words: str) -> None:
        """Log what runs say together as a run named `comparison`, and put it into the experiment's note.

        Args:
            records: the runs.
            about: what they are compared by, and with.
            files: and folders: the report, its pictures and figures; what is there already is not logged twice.
            words: the verdict.
        """
        mark = self._mark(records, about)
        found = _find(self.client, self.experiment, COMPARISON, mark)
        if found is None or found.info.status != FINISHED or found.data.tags.get("verdict") != words:
            now = found.info.start_time if found else round(time.time() * 1000)
            tags = {"task": self._name, "fingerprint": mark, "about": about, "verdict": words, NOTE: words}
            tags |= {PROJECT: self._project, "mlflow.source.name": "pipeline"}
            with self._running(found, COMPARISON, now, tags) as run_id:
                for file in files:
                    if file.is_dir():
                        self.client.log_artifacts(run_id, str(file), file.name)
                    else:
                        self.client.log_artifact(run_id, str(file))
            self.client.set_terminated(run_id, FINISHED, now)
        note = self._tagged[NOTE]
        self.client.set_experiment_tag(self.experiment, NOTE, f"{note}\n\n{words}")

    def lacks_comparison(self, records: Sequence[Record], about: str) -> bool:
        """Whether the store does not know what runs say together; the arguments are those of `log_comparison`.

        Raises:
            ExternalError: the store fails.
        """
        found = self._found(COMPARISON, self._mark(records, about))
        return found is None or found.info.status != FINISHED

    def _mark(self, records: Sequence[Record], about: str) -> str:
        """The fingerprint of a comparison: of all that it depends on but the code that makes it."""
        content = [about, self._data.digests["test"], [(record.run.name, record.fingerprint) for record in records]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def lacks(self, record: Record) -> bool:
        """Whether the store has no such run, or not its figures of the test set.

        Raises:
            ExternalError: the store fails.
        """
        run = self._found(record.run.name, record.fingerprint)
        return run is None or run.info.status != FINISHED or "test/loss" not in run.data.metrics

    def _found(self, name: str, mark: str) -> Run | None:
        try:
            return _find(self.client, self.experiment, name, mark)
        except Exception as error:
            raise ExternalError(f"MLflow: the store {self.uri} failed ({_reason(error)})") from None

    @_tolerant
    def publish(self, record: Record, folder: Path, data: Path) -> None:
        """Add a model that MLflow can load and serve to a run.

        It needs no pickle: MLflow keeps the run's files and this package, and `pipeline.serving` puts them together.

        Args:
            record: the run.
            folder: where its weights are.
            data: where the prepared data are.
        """
        run, _ = self._logged(record, folder)
        if (has := self.client.get_run(run).outputs) and has.model_outputs:
            return  # it has one from an earlier evaluation
        import mlflow.pyfunc
        import pandas
        from mlflow.models import Model, ModelSignature
        from mlflow.types import ColSpec, DataType, Schema, TensorSpec

        shown = example(data)
        code = [Path(__file__).parent.parent]
        requirements = list(SERVING_REQUIREMENTS)
        if isinstance(shown, str):
            inputs = Schema([ColSpec(DataType.string, "text")])
            shown = pandas.DataFrame({"text": [shown]})
            requirements.append("tokenizers")
        else:
            inputs = Schema([TensorSpec(shown.dtype, (-1, *shown.shape[1:]))])
        if own.is_user_model(record.run.model.name) and (source := own.source(record.run.model.name)):
            code.append(source)
        from pipeline.training.losses import outputs

        width = outputs(record.run.loss, len(self._data.classes))
        signature = ModelSignature(inputs, Schema([TensorSpec(np.dtype(np.float32), (-1, width))]))
        with tempfile.TemporaryDirectory() as scratch:
            network = Path(scratch) / record.run.name
            shutil.copytree(folder, network)
            shutil.copy(data / "summary.json", network)
            if (data / TOKENIZER).exists():
                shutil.copy(data / TOKENIZER, network)
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_experiment(experiment_id=self.experiment)
            Model.log(
                artifact_path=None,
                name="model",
                flavor=mlflow.pyfunc,
                run_id=run,
                loader_module="pipeline.tracking.serving",
                data_path=str(network),
                code_paths=[str(path) for path in code],
                signature=signature,
                input_example=shown,
                pip_requirements=[f"{name}=={version(name)}" for name in requirements],
            )

    def _logged(self, record: Record, folder: Path, timing: Timing | None = None) -> tuple[str, dict[str, float]]:
        """The id of the run of ``record`` in the store, and its metrics of before; it is logged if it is not there."""
        found = _find(self.client, self.experiment, record.run.name, record.fingerprint)
        if found is not None and found.info.status == FINISHED:
            self._join(found)
            return found.info.run_id, found.data.metrics
        timing = timing or self._timing(record) or Timing(time.time(), 0.0)
        started = round(timing.started * 1000)
        ended = round((timing.started + timing.seconds) * 1000)
        per_epoch = (ended - started) / len(record.epochs)
        metrics = [
            Metric(name, getattr(epoch, field), round(started + per_epoch * epoch.epoch), epoch.epoch)
            for epoch in record.epochs
            for field, name in METRICS.items()
            if getattr(epoch, field) is not None
        ]
        of_record = {"outcome": record.outcome, "device": record.device, "torch": record.torch}
        tags = self._tags(record.run, record.fingerprint) | of_record
        with self._running(found, record.run.name, started, tags) as run_id:
            # The files first: MLflow reads all that it has of the run to learn where they go.
            self.client.log_artifacts(run_id, str(folder))
            for start in range(0, len(metrics), BATCH):
                self.client.log_batch(run_id, metrics[start : start + BATCH], _params(record.run) if start == 0 else ())
        self.client.set_terminated(run_id, FINISHED, ended)
        return run_id, {}

    @contextmanager
    def _running(self, found: Run | None, name: str, started: int, tags: dict[str, str]) -> Iterator[str]:
        """The id of a run to log to: that which an earlier attempt left, if any was found. It does not stay running."""
        if found is None:
            run_id = self.client.create_run(self.experiment, started, tags, name).info.run_id
        else:
            run_id = found.info.run_id
            self.client.update_run(run_id, "RUNNING")
            self.client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
        try:
            yield run_id
        except BaseException as error:
            with suppress(Exception):
                self.client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise

    def _tags(self, run: params.Run, mark: str) -> dict[str, str]:
        tags = {
            "task": run.task,
            "scheduler": run.scheduler,
            "fingerprint": mark,
            PROJECT: self._project,
            EXPERIMENTS: os.environ.get("DVC_EXP_NAME", ""),
            "mlflow.source.git.commit": git.commit(self._root),
            "mlflow.source.name": "pipeline",
        }
        return {key: value for key, value in tags.items() if value}

    def _join(self, run: Run) -> None:
        """Add the name of this experiment of DVC to those that a run is part of."""
        name = os.environ.get("DVC_EXP_NAME", "")
        names = run.data.tags.get(EXPERIMENTS, "").split(", ")
        if name and name not in names:
            self.client.set_tag(run.info.run_id, EXPERIMENTS, ", ".join(filter(None, [*names, name])))


def _reason(error: Exception) -> str:
    """The first line of the error that all others only wrap."""
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        error = inner
    return (str(error) or type(error).__name__).splitlines()[0][:300]


def _params(run: params.Run) -> list[Param]:
    return [Param(key, "null" if value is None else str(value)) for key, value in run.flat().items()]


def _input(data: Summary, part: str) -> DatasetInput:
    """What `mlflow.log_input` would log of one part of the data."""
    schema = {"input_shape": data.input_shape, "classes": len(data.classes)}
    dataset = Dataset(
        name=f"{data.dataset}-{part}",
        digest=data.digests[part][:36],  # MLflow takes no more
        source_type="code",
        source=json.dumps({"source": data.source}),
        schema=json.dumps(schema),
        profile=json.dumps({"examples": data.examples[part]}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", part)])


def _experiment_tags(task: Task, data: Summary) -> dict[str, str]:
    """The experiment's note, and what makes MLflow's charts page show one line a scheduler (see `links`)."""
    section = {"uuid": VIEW, "name": "schedulers", "display": True}
    charts = [
        {
            "uuid": metric,
            "type": kind,
            "metricSectionId": VIEW,
            "metricKey": metric,
            "selectedMetricKeys": [metric],
            "runsCountToCompare": 100,
            "lineSmoothness": 0,
            "scaleType": "linear",
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
        }
        for kind, metric in (
            ("LINE", "lr"),
            ("BAR", "test/accuracy"),
            ("LINE", "val/loss"),
            ("LINE", "train/loss"),
            ("LINE", "val/accuracy"),
            ("BAR", "test/loss"),
        )
    ]
    view = {
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "scheduler"}]},
        "groupsExpanded": {},
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "compareRunCharts": charts,
        "compareRunSections": [section],
    }
    return {
        NOTE: _note(task, data),
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }


def _note(task: Task, data: Summary) -> str:
    """What the task is, for the top of the experiment's page."""
    parts = ", ".join(f"{count:,} {part}" for part, count in data.examples.items())
    classes = f", {len(data.classes)} classes" * bool(data.classes)
    model = ", ".join(f"{key} {value}" for key, value in task.model.model_dump().items() if key != "name")
    optimizers = " and ".join([task.optimizer] if isinstance(task.optimizer, str) else task.optimizer)
    return (
        f"**{task.model.name}** ({model}) on **{data.dataset}** ({parts} examples{classes}, "
        f"from {data.source}): {task.loss}, {optimizers} at base LR {task.lr:g}, {task.epochs} epochs, "
        f"batch size {task.batch_size}. The same weights and batches under every scheduler, seed by seed."
    )
