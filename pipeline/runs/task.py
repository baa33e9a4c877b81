"""A task: data, model, loss, optimizer and budget."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pipeline.datasets.settings import CLASSIFICATION, AnyDataset, Kind
from pipeline.networks.settings import AnyModel, UserModel
from pipeline.runs.training_settings import Count, TrainingSettings, Transform
from pipeline.settings import Rate, Settings

LossName = Literal["cross-entropy", "nll", "bce-with-logits", "squared-error", "mean-squared-error", "next-token"]
LOWEST_RATE, HIGHEST_RATE = 1e-30, 1e30
RATES = f"a learning rate from {LOWEST_RATE:g} to {HIGHEST_RATE:g}"
Channels = Annotated[list[float], Field(min_length=1)]


def has_classes(loss: str) -> bool:
    """Return True if the loss is one of classification, where answers are right or wrong."""
    return loss in CLASSIFICATION


def one_or_many(what: str, fits: Callable[[Any], bool]) -> BeforeValidator:
    """Return a validator for one item or a list of different ones.

    Args:
        what: an item, as the error line names it.
        fits: True for an item that is allowed.
    """

    def check(given: Any) -> Any:
        if given is None:
            raise PydanticCustomError("empty", "must be {what}, or a list of them", {"what": what})
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
    """Return True if ``item`` can be a learning rate; what is far from any in use is a slip of the keyboard."""
    return type(item) in (int, float) and LOWEST_RATE <= item <= HIGHEST_RATE


def short(rate: float) -> str:
    """Return the shortest text that is this number and no other."""
    return f"{rate:g}" if float(f"{rate:g}") == rate else repr(rate)


def is_text(item: Any) -> bool:
    """Return True if ``item`` can be a name."""
    return isinstance(item, str)


def _seeds(given: Any) -> Any:
    if given == "auto":
        return given
    if type(given) is int and 1 <= given <= 10_000:
        return list(range(given))
    is_list = isinstance(given, list) and all(type(seed) is int and 0 <= seed < 2**32 for seed in given)
    if is_list and given and len(set(given)) == len(given):
        return given
    raise PydanticCustomError("seeds", "must be auto, a count from 1 to 10000, or a list of different seeds from 0")


Seeds = Annotated[Literal["auto"] | list[int], BeforeValidator(_seeds)]
"""`auto`: as many as it takes; or a count, which is counted from 0; or a list."""
Margin = Annotated[float, Field(ge=1e-6, lt=100)]
"""The smallest difference worth having: percentage points of an accuracy, or per cent of a loss."""
OneOrMoreRates = Annotated[float | list[float], one_or_many(RATES, is_rate)]
OneOrMoreOptimizers = Annotated[str | list[str], one_or_many("the name of an optimizer", is_text)]


class Normalize(Settings):
    """Shift and scale of each image channel: (x - mean) / std, x in [0, 1]."""

    mean: Channels
    """One number a channel."""
    std: Annotated[list[Rate], Field(min_length=1)]
    """One number a channel."""

    @model_validator(mode="after")
    def _of_the_same_channels(self) -> "Normalize":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}; give one for each channel")
        return self


def _plural(kind: Kind) -> str:
    return f"{kind.removesuffix('s')}s"


class Task(TrainingSettings):
    """Data, model, loss, optimizer and budget: an experiment without its schedulers."""

    dataset: AnyDataset
    """The examples."""
    model: AnyModel
    """The network."""
    loss: LossName
    """`squared-error` is a sum over the examples, the others are means."""
    optimizer: OneOrMoreOptimizers
    """The default optimizer; a list if the task compares several."""
    lr: OneOrMoreRates
    """The base learning rate; of a list, each scheduler gets the one that suits it."""
    epochs: Count
    """Length of a run."""
    batch_size: Count
    """Examples of a batch; the last of an epoch may be smaller."""
    normalize: Normalize | None = None
    """For images; null: they stay in [0, 1]."""
    max_length: Count | None = None
    """For texts: words after this many are cut off."""
    train_subset: Count | None = None
    """Number of training examples to use; null: all."""
    record_every: Count = 1
    """Validate and record every so many epochs, and the last."""
    seeds: Seeds = "auto"
    """Of each scheduler."""
    margin: Margin | None = None
    """Null: 0.5 points of an accuracy, 10% of a loss."""
    budget: Count = 600
    """Runs that `seeds: auto` may cost, those that choose base rates apart."""
    optimizers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of optimizers that this task changes."""
    schedulers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of schedulers that this task changes, their base `lr` included."""

    @property
    def rates(self) -> list[float]:
        """The base learning rates."""
        return self.lr if isinstance(self.lr, list) else [self.lr]

    @property
    def examples_per_step(self) -> int:
        """Examples of a step of the optimizer; the last step of an epoch may have fewer."""
        return self.batch_size * (self.accumulate or 1)

    @field_validator("augment")
    @classmethod
    def _known_transforms(cls, augment: list[Transform] | None) -> list[Transform] | None:
        if augment:
            from pipeline.datasets.transforms import build

            for each in augment:
                build(each)
        return augment

    @model_validator(mode="after")
    def _fits_together(self) -> "Task":
        kind, model = self.dataset.kind, self.model
        if kind not in model.takes:
            takes = " or ".join(_plural(kind) for kind in model.takes)
            raise ValueError(f"model {model.name} takes {takes}, but {self.dataset.name} has {_plural(kind)}")
        if self.loss not in (allowed := self.dataset.losses):
            raise ValueError(f"loss {self.loss} does not fit {self.dataset.name}; allowed: {', '.join(allowed)}")
        if (self.loss == "nll") != (model.name == "cnn") and not isinstance(model, UserModel):
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
