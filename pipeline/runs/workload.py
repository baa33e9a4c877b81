"""Defines the workload of a run: a network with its data, loss and optimizer.

Most code in `sweep`, `comparison`, `report` and `tracking` needs only a run's schedule, base rate, seed and length, and
the names of its task, scheduler and optimizer. Everything else about a run is in its workload.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import model_validator

from pipeline.datasets import AnyDataset
from pipeline.losses import LossName
from pipeline.networks import AnyModel
from pipeline.optimizers import AnyOptimizer
from pipeline.runs.training_settings import Count, Normalize, TrainingSettings
from pipeline.settings import ExampleKind, Resolved, UserPath
from pipeline.user_code import TORCHVISION, is_builder


class NetworkSettings(TrainingSettings):
    """The settings that all runs of a task share: a network, its data, its loss and its training options."""

    dataset: AnyDataset
    """The data set that the examples come from."""
    model: AnyModel
    """The network to train."""
    loss: LossName
    """The loss that training minimizes."""
    batch_size: Count
    """The number of examples in a batch; the last batch of an epoch may be smaller."""
    normalize: Normalize | None = None
    """The mean and standard deviation for normalizing pictures. If null, pixels stay between 0 and 1."""
    max_length: Count | None = None
    """The maximum number of words to use from each text. This setting is only for texts."""
    train_subset: Count | None = None
    """The number of training examples to use, or null for all training examples."""
    record_every: Count = 1
    """A run is validated and recorded every `record_every` epochs, and always in its last epoch."""

    @model_validator(mode="after")
    def _fits_together(self) -> "NetworkSettings":
        kind, model = self.dataset.kind, self.model
        if kind not in model.takes:
            takes = " or ".join(_plural(kind) for kind in model.takes)
            raise ValueError(f"model {model.name} takes {takes}, but {self.dataset.name} has {_plural(kind)}")
        if self.loss not in (allowed := self.dataset.losses):
            raise ValueError(f"loss {self.loss} does not fit {self.dataset.name}; allowed: {', '.join(allowed)}")
        if model.returns_log_probabilities not in (self.loss == "nll", None):
            raise ValueError(
                f"loss {self.loss} does not fit model {model.name}: nll takes log-probabilities, which only cnn returns"
            )
        if (kind == "text") != (self.max_length is not None):
            raise ValueError("max_length is missing" if kind == "text" else "max_length is for texts only")
        if self.normalize is not None and kind != "image":
            raise ValueError("normalize is for images only")
        if self.augment and kind != "image":
            raise ValueError("augment is for images only")
        if self.label_smoothing and self.loss != "cross-entropy":
            raise ValueError(f"label_smoothing is for loss cross-entropy only, not {self.loss}")
        return self

    @property
    def examples_per_step(self) -> int:
        """The number of examples in an optimizer step; the last step of an epoch may have fewer examples."""
        return self.batch_size * (self.accumulate or 1)

    @property
    def files(self) -> list[UserPath]:
        """The user's files that training depends on, apart from the data: the file of pretrained weights, if any."""
        return [self.model.weights_file] if self.model.weights_file else []

    @property
    def packages(self) -> list[str]:
        """The installed packages whose versions can change the result."""
        is_torchvision = self.augment or self.model.name.startswith(TORCHVISION)
        return ["torch", "torchvision"] if is_torchvision else ["torch"]


class Workload(NetworkSettings):
    """The network that a run trains, with its data, loss and optimizer."""

    optimizer: AnyOptimizer
    """The optimizer's settings, with the task's changes."""

    @property
    def builders(self) -> list[tuple[str, str]]:
        """The user's builders of the model and the optimizer, as pairs like those of `Run.builders`."""
        names = [("model", self.model.name), ("optimizer", self.optimizer.class_)]
        return [(what, name) for what, name in names if is_builder(name)]

    @property
    def modules(self) -> set[str]:
        """The modules of the classes that build the network and the optimizer."""
        return {type(part).__module__ for part in (self.model, self.optimizer, *self.optimizer.parts())}

    def resolved(self) -> Resolved:
        """Return every setting that can change the result of a run, as plain values.

        `dataset` is not included, because the run's fingerprint already covers the data.
        """
        settings = self.model_dump(exclude={"dataset", "optimizer", *TrainingSettings.model_fields})
        return settings | {"optimizer": self.optimizer.resolve()} | self.options()

    def flat(self) -> dict[str, Any]:
        """Return every resolved setting, keyed by the dotted name that MLflow shows."""
        settings = self.resolved()
        for key in ("normalize", "max_length"):  # `normalize` is for pictures only, `max_length` for texts only
            if settings[key] is None:
                del settings[key]
        settings["dataset"] = self.dataset.resolve()
        names = {key: settings[key].pop("name") for key in ("dataset", "model")}
        return dict(flatten(settings)) | names


def flatten(nested: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each value in nested mappings, together with its dotted name."""
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", item) for inner, item in flatten(value))
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from flatten({f"{key}.{index}": item for index, item in enumerate(value)})
        else:
            yield key, value


def _plural(kind: ExampleKind) -> str:
    return f"{kind.removesuffix('s')}s"
