"""Defines a run of a sweep, with all settings of the run."""

from typing import Any

from pipeline.runs.workload import Workload, flatten
from pipeline.schedules import AnySchedule
from pipeline.settings import Resolved, Settings
from pipeline.user_code import is_builder


class Run(Settings):
    """All settings that the result of a run depends on: a task, a scheduler, an optimizer, a base LR and a seed."""

    name: str
    """The name of the run, in the form `<scheduler>-s<seed>`.

    If the sweep has several optimizers, the name of the optimizer follows that of the scheduler. If the scheduler has
    several base LRs, the base LR comes just before the seed.
    """
    group: str
    """The name of the run's group, which is `name` without the seed. The runs of a group differ only in the seed."""
    task: str
    """The name of one of the `tasks` in params.yaml."""
    scheduler: str
    """The name of one of the `schedulers` in params.yaml."""
    schedule: AnySchedule
    """The scheduler's settings, with the task's changes."""
    optimizer: str
    """The name of one of the `optimizers` in params.yaml."""
    lr: float
    """The base rate."""
    seed: int
    """The seed for the initial weights, the order of the batches, and dropout."""
    epochs: int
    """The number of epochs."""
    batches: int
    """The number of optimizer steps in an epoch, or 1 if the number of training examples is unknown."""
    workload: Workload
    """The network, data, loss and optimizer of the run."""

    @property
    def method(self) -> tuple[str, str]:
        """The scheduler and the optimizer. Groups with the same method differ only in the base LR."""
        return self.scheduler, self.optimizer

    @property
    def builders(self) -> list[tuple[str, str]]:
        """The user's builders that the run calls, as pairs such as (`model`, the builder's name in params.yaml)."""
        own = [("schedule", self.schedule.class_)] if is_builder(self.schedule.class_) else []
        return [*self.workload.builders, *own]

    def with_seed(self, seed: int) -> "Run":
        """Return a copy of the run with the given seed and with a name that ends in this seed."""
        return self.model_copy(update={"name": f"{self.group}-s{seed}", "seed": seed})

    def resolved(self) -> Resolved:
        """Return every setting that can change the result, as plain values. Data and code are not included."""
        return {
            **self.workload.resolved(),
            "schedule": self.schedule.resolve(self.lr, self.epochs, self.batches),
            "epochs": self.epochs,
            "lr": self.lr,
            "seed": self.seed,
        }

    def flat(self) -> dict[str, Any]:
        """Return every resolved setting, keyed by the dotted name that MLflow shows."""
        schedule = self.schedule.resolve(self.lr, self.epochs, self.batches)
        own = self.model_dump(include={"task", "scheduler", "optimizer", "epochs", "lr", "seed"})
        return own | dict(flatten({"scheduler": schedule})) | self.workload.flat()
