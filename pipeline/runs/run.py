"""One run of a sweep, with all of its settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.datasets import AnyDataset
from pipeline.losses import LossName
from pipeline.networks.settings import AnyModel
from pipeline.optimizers import AnyOptimizer
from pipeline.runs.task import Normalize
from pipeline.runs.training_settings import TrainingSettings
from pipeline.schedules import AnySchedule
from pipeline.settings import Resolved
from pipeline.user_code import is_builder


class Run(TrainingSettings):
    """One task x scheduler x optimizer x base LR x seed: everything that its result depends on but the data."""

    name: str
    """`<scheduler>-s<seed>`; optimizer and base LR come in if the sweep has several."""
    group: str
    """The name without the seed: a comparison averages over the seeds of a group."""
    task: str
    """One of `tasks` in params.yaml."""
    dataset: AnyDataset
    """The source of the examples."""
    model: AnyModel
    """The network."""
    loss: LossName
    """The loss that training minimises."""
    epochs: int
    """Length of the run."""
    batches: int
    """Steps of the optimizer in an epoch, each of a batch or of `accumulate`; 1 if the examples are not counted yet."""
    batch_size: int
    """Examples of a batch."""
    normalize: Normalize | None
    """For images."""
    max_length: int | None
    """For texts, in words."""
    train_subset: int | None
    """Number of training examples to use; None: all."""
    record_every: int
    """Validate and record every so many epochs, and the last."""
    scheduler: str
    """One of `schedulers` in params.yaml."""
    schedule: AnySchedule
    """Its settings, with what the task changes."""
    optimizer: str
    """One of `optimizers` in params.yaml."""
    optimizer_settings: AnyOptimizer
    """Its settings, with what the task changes."""
    lr: float
    """The base rate."""
    seed: int
    """For the initial weights, dropout and the order of batches."""

    @property
    def method(self) -> tuple[str, str]:
        """Scheduler and optimizer: groups with the same method differ in the base LR."""
        return self.scheduler, self.optimizer

    @property
    def builders(self) -> list[tuple[str, str]]:
        """The user's own code that it needs: what each builder builds, and its name."""
        named = [("model", self.model.name), ("schedule", self.schedule.class_)]
        named.append(("optimizer", self.optimizer_settings.class_))
        return [(what, name) for what, name in named if is_builder(name)]

    def with_seed(self, seed: int) -> "Run":
        """Return the run that differs in the seed alone."""
        return self.model_copy(update={"name": f"{self.group}-s{seed}", "seed": seed})

    def resolved(self) -> Resolved:
        """Return everything that can change the result but data and code, as JSON would hold it.

        The names are left out, and `dataset`: the data are known by their digest.
        """
        return {
            "model": self.model.model_dump(),
            "loss": self.loss,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "normalize": None if self.normalize is None else self.normalize.model_dump(),
            "max_length": self.max_length,
            "train_subset": self.train_subset,
            "record_every": self.record_every,
            "schedule": self.schedule.resolve(self.lr, self.epochs, self.batches),
            "optimizer_settings": self.optimizer_settings.resolve(),
            "lr": self.lr,
            "seed": self.seed,
            **self.own(),
        }

    def flat(self) -> dict[str, Any]:
        """Return every resolved setting under the dotted name that MLflow shows."""
        settings = self.resolved()
        schedule, optimizer = settings.pop("schedule"), settings.pop("optimizer_settings")
        model, dataset = settings.pop("model"), self.dataset.resolve()
        for key in ("normalize", "max_length"):  # for images, for texts
            if settings[key] is None:
                del settings[key]
        settings |= {"task": self.task, "scheduler": self.scheduler, "optimizer": self.optimizer}
        settings |= {"dataset": dataset.pop("name"), "model": model.pop("name")}
        nested = {"scheduler": schedule, "optimizer": optimizer, "dataset": dataset, "model": model}
        return dict(_flatten(settings)) | dict(_flatten(nested))


def _flatten(nested: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", item) for inner, item in _flatten(value))
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from _flatten({f"{key}.{index}": item for index, item in enumerate(value)})
        else:
            yield key, value
