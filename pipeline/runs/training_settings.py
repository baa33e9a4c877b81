"""Options of a training loop beyond loss, optimizer and budget. Each is null unless set."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.datasets.augment import AnyTransform
from pipeline.settings import Rate, Resolved, Settings

Count = Annotated[int, Field(ge=1)]


class Normalize(Settings):
    """Shift and scale of each channel of a picture: (x - mean) / std, x in [0, 1]."""

    mean: Annotated[list[float], Field(min_length=1)]
    """One number a channel."""
    std: Annotated[list[Rate], Field(min_length=1)]
    """One number a channel."""

    @model_validator(mode="after")
    def _same_channels(self) -> "Normalize":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}; give one for each channel")
        return self


class TrainingSettings(Settings):
    """Options of the training loop that a task shares with its runs."""

    clip_grad_norm: Rate | None = None
    """Largest norm of all gradients together; larger gradients are scaled down before each step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of each label that is spread evenly over all classes; with cross-entropy, in training only."""
    augment: list[AnyTransform] | None = None
    """torchvision's transforms of pictures, in order; each picture is transformed anew in each epoch."""
    precision: Literal["float32", "bfloat16"] | None = None
    """`bfloat16`: autocast in training and validation; the weights stay float32."""
    accumulate: Count | None = None
    """Number of batches whose gradients are averaged for an optimizer step."""
    no_decay: list[Literal["bias", "norm"]] | None = None
    """Weights without weight decay: biases, and the weights of normalisation layers."""

    NEUTRAL: ClassVar[dict[str, Any]] = {
        "label_smoothing": 0.0,
        "augment": [],
        "precision": "float32",
        "accumulate": 1,
        "no_decay": [],
    }
    """Values that mean the same as null."""

    def options(self) -> Resolved:
        """Return the options that change something, as plain values."""
        values = TrainingSettings.model_dump(self, include=set(TrainingSettings.model_fields))
        return {key: value for key, value in values.items() if value not in (None, self.NEUTRAL.get(key))}

    def describe_options(self) -> list[str]:
        """Return the options that change something as short texts, such as `clip_grad_norm 1.0`."""
        texts = []
        for key, value in self.options().items():
            if isinstance(value, list):
                names = [item["name"] if isinstance(item, dict) else item for item in value]
                value = " + ".join(names)
            texts.append(f"{key} {value}")
        return texts

    @property
    def thread_invariant(self) -> bool:
        """False if several threads may change bits: a norm is a sum over a matrix, and a blur is a convolution."""
        return not {*self.options()} - {"accumulate", "no_decay"}
