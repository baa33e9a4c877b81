"""Defines a task: a network with its data and its loss, and the settings of an experiment with that network."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from pipeline.datasets.augment import Transform
from pipeline.runs.training_settings import Count
from pipeline.runs.values import Margin, OneOrMoreOptimizers, OneOrMoreRates, Seeds
from pipeline.runs.workload import NetworkSettings

if TYPE_CHECKING:
    from pipeline.datasets import Summary


class Task(NetworkSettings):
    """Everything about an experiment with a network, except the schedulers to compare."""

    optimizer: OneOrMoreOptimizers
    """The name of the default optimizer, or a list of names to compare several optimizers."""
    lr: OneOrMoreRates
    """The base learning rate, or a list of rates from which the best rate is chosen for each scheduler."""
    epochs: Count
    """The number of epochs of a run."""
    seeds: Seeds = "auto"
    """The seeds for each scheduler."""
    margin: Margin | None = None
    """The smallest difference that matters; null for 0.5 percentage points of an accuracy or 10% of a loss."""
    budget: Count = 600
    """The maximum number of runs with `seeds: auto`, not counting runs used to choose base rates."""
    optimizers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Maps the names of optimizers to the settings that this task changes."""
    schedulers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Maps the names of schedulers to the settings that this task changes; `lr` sets the scheduler's base rate."""

    @property
    def rates(self) -> list[float]:
        """The base learning rates."""
        return self.lr if isinstance(self.lr, list) else [self.lr]

    @field_validator("augment")
    @classmethod
    def _known_transforms(cls, augment: list[Transform] | None) -> list[Transform] | None:
        for transform in augment or ():
            transform.build()
        return augment

    def describe(self, summary: "Summary") -> str:
        """Return a line that describes the task and its options; ``summary`` is the summary of the prepared data."""
        arguments = ", ".join(f"{key} {value}" for key, value in self.model.model_dump().items() if key != "name")
        model = f"{self.model.name} ({arguments})" if arguments else self.model.name
        train, test = self.train_subset or summary.examples["train"], summary.examples["test"]
        budget = ", ".join([f"batch size {self.batch_size}", *self.describe_options()])
        return (
            f"{model} on {summary.dataset}: {train:,} training and {test:,} test examples, {self.loss}, "
            f"{self.epochs} epochs, {budget}"
        )
