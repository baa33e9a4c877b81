"""One run of a sweep, with all of its settings."""

from typing import Any

from pipeline.runs.workload import Workload, flatten
from pipeline.schedules import AnySchedule
from pipeline.settings import Resolved, Settings
from pipeline.user_code import is_builder


class Run(Settings):
    """One task x scheduler x optimizer x base LR x seed: everything that its result depends on but the data."""

    name: str
    """`<scheduler>-s<seed>`; also with optimizer and base LR if the sweep has several."""
    group: str
    """The name without the seed: a comparison averages over the seeds of a group."""
    task: str
    """One of `tasks` in params.yaml."""
    scheduler: str
    """One of `schedulers` in params.yaml."""
    schedule: AnySchedule
    """The scheduler's settings, with the task's changes."""
    optimizer: str
    """One of `optimizers` in params.yaml."""
    lr: float
    """The base rate."""
    seed: int
    """Seed of initial weights, dropout and the order of batches."""
    epochs: int
    """Length of the run."""
    batches: int
    """Optimizer steps of an epoch; 1 if the examples are not counted yet."""
    workload: Workload
    """What the run trains."""

    @property
    def method(self) -> tuple[str, str]:
        """Scheduler and optimizer: groups with the same method differ in the base LR."""
        return self.scheduler, self.optimizer

    @property
    def builders(self) -> list[tuple[str, str]]:
        """The user's builders that the run calls: what each one builds, and its name in params.yaml."""
        own = [("schedule", self.schedule.class_)] if is_builder(self.schedule.class_) else []
        return [*self.workload.builders, *own]

    def with_seed(self, seed: int) -> "Run":
        """Return the run that differs in the seed alone."""
        return self.model_copy(update={"name": f"{self.group}-s{seed}", "seed": seed})

    def resolved(self) -> Resolved:
        """Return everything that can change the result but data, code and names, as JSON would hold it."""
        return {
            **self.workload.resolved(),
            "schedule": self.schedule.resolve(self.lr, self.epochs, self.batches),
            "epochs": self.epochs,
            "lr": self.lr,
            "seed": self.seed,
        }

    def flat(self) -> dict[str, Any]:
        """Return every resolved setting under the dotted name that MLflow shows."""
        schedule = self.schedule.resolve(self.lr, self.epochs, self.batches)
        own = {
            "task": self.task,
            "scheduler": self.scheduler,
            "optimizer": self.optimizer,
            "epochs": self.epochs,
            "lr": self.lr,
            "seed": self.seed,
        }
        return own | dict(flatten({"scheduler": schedule})) | self.workload.flat()
