"""A task: data, model, loss, optimizer and budget."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from pipeline.settings.base import Rate, Resolved, Settings
from pipeline.settings.datasets import AnyDataset, Kind
from pipeline.settings.models import AnyModel

Count = Annotated[int, Field(ge=1)]
LossName = Literal["cross-entropy", "nll", "bce-with-logits", "squared-error"]
Channels = Annotated[list[float], Field(min_length=1)]


def outputs(loss: str, classes: int) -> int:
    """How many outputs a network must have."""
    return 1 if loss in ("bce-with-logits", "squared-error") else classes


def has_classes(loss: str) -> bool:
    """Whether there are right and wrong answers to count."""
    return loss != "squared-error"


def one_or_many(what: str, fits: Callable[[Any], bool]) -> BeforeValidator:
    """A pydantic validator for one thing or a list of different ones; ``what`` names it in the error line."""

    def check(given: Any) -> Any:
        many = given if isinstance(given, list) else [given]
        if not many:
            raise ValueError(f"an empty list: give {what}, or a list of them")
        for item in many:
            if not fits(item):
                raise ValueError(f"{item!r} is not {what}, nor a list of them")
            if many.count(item) > 1:
                raise ValueError(f"{item!r} is given twice")
        return given

    return BeforeValidator(check)


def is_rate(item: Any) -> bool:
    """Whether it can be a learning rate."""
    return type(item) in (int, float) and 0 < item < math.inf


def is_text(item: Any) -> bool:
    """Whether it can be a name."""
    return isinstance(item, str)


OneOrMoreOptimizers = Annotated[str | list[str], one_or_many("the name of an optimizer", is_text)]


class Normalize(Settings):
    """What a picture's channels are shifted and scaled by: (x - mean) / std, x in [0, 1]."""

    mean: Channels
    std: Annotated[list[Rate], Field(min_length=1)]

    @model_validator(mode="after")
    def _of_the_same_channels(self) -> "Normalize":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}; one for each channel")
        return self


KINDS: dict[str, tuple[Kind, ...]] = {
    "mlp": ("image", "number"),
    "lenet": ("image",),
    "cnn": ("image",),
    "lstm": ("text",),
}
"""What each network takes; one's own takes what it likes."""


class Task(Settings):
    """Data, model, loss, optimizer and budget: all of an experiment but the scheduler."""

    dataset: AnyDataset
    model: AnyModel
    loss: LossName
    """`squared-error` is a sum over the examples, the others are means."""
    optimizer: OneOrMoreOptimizers
    """The task's own; where it compares several, a list."""
    lr: Rate
    """The base learning rate."""
    epochs: Count
    batch_size: Count
    normalize: Normalize | None = None
    """Of pictures; null: they stay in [0, 1]."""
    max_length: Count | None = None
    """Of texts, in words; what is longer is cut off."""
    train_subset: Count | None = None
    """How many examples of the training part to train on; null: all."""
    record_every: Count = 1
    """Validate and record every so many epochs, and the last."""
    optimizers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What this task changes of an optimizer's settings."""
    schedulers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What this task changes of a scheduler's settings, its base `lr` included."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Task":
        kind, model = self.dataset.kind, self.model.name
        takes = KINDS.get(model, get_args(Kind))
        if kind not in takes:
            raise ValueError(f"model {model} takes {' or '.join(takes)}s, but {self.dataset.name} has {kind}s")
        if (kind == "number") != (self.loss == "squared-error"):
            allowed = "squared-error" if kind == "number" else "cross-entropy, nll, bce-with-logits"
            raise ValueError(f"loss {self.loss} is none for {self.dataset.name}; allowed: {allowed}")
        if (self.loss == "nll") != (model == "cnn") and ":" not in model:
            raise ValueError(f"loss {self.loss} does not fit model {model}: nll is for log-probabilities, as of cnn")
        if (kind == "text") != (self.max_length is not None):
            raise ValueError("max_length is missing" if kind == "text" else "max_length is for texts only")
        if self.normalize is not None and kind != "image":
            raise ValueError("normalize is for pictures only")
        return self

    def resolve(self) -> Resolved:
        """What every run of the task has in common, as `params.Run` takes it."""
        return {
            "dataset": self.dataset.resolve(),
            "model": self.model.model_dump(),
            "normalize": self.normalize and self.normalize.model_dump(),
            **self.model_dump(include={"loss", "epochs", "batch_size", "max_length", "train_subset", "record_every"}),
        }
