"""Defines the options of the training loop. All options are null by default."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.datasets.augment import AnyTransform
from pipeline.settings import Rate, Resolved, Settings

Count = Annotated[int, Field(ge=1)]


class Normalize(Settings):
    """The normalization of each channel of a picture: a pixel x from 0 to 1 becomes (x - mean) / std."""

    mean: Annotated[list[float], Field(min_length=1)]
    """The mean of each channel."""
    std: Annotated[list[Rate], Field(min_length=1)]
    """The standard deviation of each channel."""

    @model_validator(mode="after")
    def _same_channels(self) -> "Normalize":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}; give one for each channel")
        return self


class TrainingSettings(Settings):
    """Options of the training loop, which are the same for all runs of a task."""

    clip_grad_norm: Rate | None = None
    """The maximum norm of all gradients together. Gradients with a larger norm are scaled down before each step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """In training with cross-entropy, the share of each label that is spread evenly over all classes."""
    augment: list[AnyTransform] | None = None
    """The torchvision transforms for training pictures. Every epoch transforms each picture in a new random way."""
    precision: Literal["float32", "bfloat16"] | None = None
    """`bfloat16` turns on autocast in training and validation, but the weights stay in float32."""
    accumulate: Count | None = None
    """The number of batches in each optimizer step. The step uses the average of the batches' gradients."""
    no_decay: list[Literal["bias", "norm"]] | None = None
    """The kinds of weights that get no weight decay: biases, weights of normalization layers, or both."""

    NEUTRAL: ClassVar[dict[str, Any]] = {
        "label_smoothing": 0.0,
        "augment": [],
        "precision": "float32",
        "accumulate": 1,
        "no_decay": [],
    }
    """Maps options to the values that have the same effect as null."""

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
