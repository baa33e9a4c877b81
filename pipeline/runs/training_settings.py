"""Options of the training loop; all options are null by default."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.datasets.augment import AnyTransform
from pipeline.settings import Rate, Resolved, Settings

Count = Annotated[int, Field(ge=1)]


class Normalize(Settings):
    """The shift and the scale of each channel of a picture: (x - mean) / std, where x is in [0, 1]."""

    mean: Annotated[list[float], Field(min_length=1)]
    """One number per channel."""
    std: Annotated[list[Rate], Field(min_length=1)]
    """One number per channel."""

    @model_validator(mode="after")
    def _same_channels(self) -> "Normalize":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}; give one for each channel")
        return self


class TrainingSettings(Settings):
    """Options of the training loop, which are the same for all runs of a task."""

    clip_grad_norm: Rate | None = None
    """The maximum norm of all gradients together; gradients with a larger norm are scaled down before a step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The share of each label to spread evenly over all classes; it applies only to cross-entropy in training."""
    augment: list[AnyTransform] | None = None
    """torchvision transforms to apply to the pictures; every epoch transforms each picture in a new random way."""
    precision: Literal["float32", "bfloat16"] | None = None
    """`bfloat16` turns on autocast in training and validation; the weights stay in float32."""
    accumulate: Count | None = None
    """The number of batches in an optimizer step, which averages their gradients."""
    no_decay: list[Literal["bias", "norm"]] | None = None
    """The kinds of weights without weight decay: biases, or the weights of normalization layers."""

    NEUTRAL: ClassVar[dict[str, Any]] = {
        "label_smoothing": 0.0,
        "augment": [],
        "precision": "float32",
        "accumulate": 1,
        "no_decay": [],
    }
    """Values that have the same effect as null."""

    def options(self) -> Resolved:
        """Return the options that have an effect, as plain values."""
        values = self.model_dump(include=set(TrainingSettings.model_fields))
        return {key: value for key, value in values.items() if value not in (None, self.NEUTRAL.get(key))}

    def describe_options(self) -> list[str]:
        """Return the options that have an effect as short texts, such as `clip_grad_norm 1.0`."""
        texts = []
        for key, value in self.options().items():
            if isinstance(value, list):
                names = [item["name"] if isinstance(item, dict) else item for item in value]
                value = " + ".join(names)
            texts.append(f"{key} {value}")
        return texts

    @property
    def thread_invariant(self) -> bool:
        """False if an option makes the result depend on the number of threads, for example by computing a norm."""
        return not {*self.options()} - {"accumulate", "no_decay"}
