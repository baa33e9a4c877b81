"""What a run trains: today a network, with its data, loss and optimizer.

`sweep`, `comparison`, `report` and `tracking` know a run by its names, schedule, base rate and seed. Everything else is
behind its workload.
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
    """A network, its data, its loss, and how to train it: all of a task that every run of the task shares."""

    dataset: AnyDataset
    """The source of the examples."""
    model: AnyModel
    """The network."""
    loss: LossName
    """The loss that training minimises."""
    batch_size: Count
    """Examples of a batch; the last batch of an epoch may be smaller."""
    normalize: Normalize | None = None
    """Shift and scale of pictures; null: pixels stay in [0, 1]."""
    max_length: Count | None = None
    """Words of a text to keep; for texts only."""
    train_subset: Count | None = None
    """Number of training examples to use; null: all."""
    record_every: Count = 1
    """Validate and record every so many epochs, and the last."""

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
                f"loss {self.loss} does not fit model {model.name}: nll takes log-probabilities, which only cnn gives"
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
        """Examples of an optimizer step; the last step of an epoch may have fewer."""
        return self.batch_size * (self.accumulate or 1)

    @property
    def files(self) -> list[UserPath]:
        """The user's own files that training depends on besides the data: the weights that it starts from."""
        return [self.model.weights_file] if self.model.weights_file else []

    @property
    def packages(self) -> list[str]:
        """The installed packages that compute: their versions can change bits."""
        is_torchvision = self.augment or self.model.name.startswith(TORCHVISION)
        return ["torch", "torchvision"] if is_torchvision else ["torch"]


class Workload(NetworkSettings):
    """What a run trains: a network, its data, its loss and its optimizer."""

    optimizer: AnyOptimizer
    """The optimizer's settings, with the task's changes."""

    @property
    def builders(self) -> list[tuple[str, str]]:
        """The user's builders that a run calls: what each one builds, and its name in params.yaml."""
        names = [("model", self.model.name), ("optimizer", self.optimizer.class_)]
        return [(what, name) for what, name in names if is_builder(name)]

    @property
    def modules(self) -> set[str]:
        """The modules of the classes that build the network and the optimizer."""
        return {type(part).__module__ for part in (self.model, self.optimizer, *self.optimizer.parts())}

    def resolved(self) -> Resolved:
        """Return everything that can change a result but the data and the code, as JSON would hold it.

        `dataset` is left out: the data are known by their digest.
        """
        return {
            "model": self.model.model_dump(),
            "loss": self.loss,
            "batch_size": self.batch_size,
            "normalize": None if self.normalize is None else self.normalize.model_dump(),
            "max_length": self.max_length,
            "train_subset": self.train_subset,
            "record_every": self.record_every,
            "optimizer": self.optimizer.resolve(),
            **self.options(),
        }

    def flat(self) -> dict[str, Any]:
        """Return every resolved setting under the dotted name that MLflow shows."""
        settings = self.resolved()
        for key in ("normalize", "max_length"):  # for pictures, for texts
            if settings[key] is None:
                del settings[key]
        settings["dataset"] = self.dataset.resolve()
        names = {key: settings[key].pop("name") for key in ("dataset", "model")}
        return dict(flatten(settings)) | names


def flatten(nested: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings under dotted names."""
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", item) for inner, item in flatten(value))
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from flatten({f"{key}.{index}": item for index, item in enumerate(value)})
        else:
            yield key, value


def _plural(kind: ExampleKind) -> str:
    return f"{kind.removesuffix('s')}s"
