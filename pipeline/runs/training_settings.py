"""How a task trains besides its loss, optimizer and budget. All of it is null unless set."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.datasets.augment import AnyTransform
from pipeline.settings import Rate, Resolved, Settings

Count = Annotated[int, Field(ge=1)]
Channels = Annotated[list[float], Field(min_length=1)]


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


class TrainingSettings(Settings):
    """What practice adds to a training loop; a task has it, and each of its runs."""

    clip_grad_norm: Rate | None = None
    """The largest norm of all gradients together: larger ones are scaled down before each step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """For cross-entropy: the share of a label that all classes get alike. In training, not in validation."""
    augment: list[AnyTransform] | None = None
    """For images: torchvision's transforms, one after another, drawn anew for each picture in each epoch."""
    precision: Literal["float32", "bfloat16"] | None = None
    """`bfloat16`: autocast in training and validation; the weights stay float32."""
    accumulate: Count | None = None
    """Batches whose gradients are averaged before a step of the optimizer."""
    no_decay: list[Literal["bias", "norm"]] | None = None
    """The weights without weight decay: biases, and those of normalisation layers."""

    NEUTRAL: ClassVar[dict[str, Any]] = {
        "label_smoothing": 0.0,
        "augment": [],
        "precision": "float32",
        "accumulate": 1,
        "no_decay": [],
    }
    """Values that mean the same as null."""

    def options(self) -> Resolved:
        """Return what is set, and does not mean the same as null, as plain values."""
        written = TrainingSettings.model_dump(self, include=set(TrainingSettings.model_fields))
        return {
            key: value for key, value in written.items() if value is not None and value != self.NEUTRAL.get(key, None)
        }

    def describe_options(self) -> list[str]:
        """Return the same as short texts, such as `clip_grad_norm 1.0`; of transforms the names."""
        return [
            f"{key} {' + '.join(each['name'] if key == 'augment' else each for each in value)}"
            if isinstance(value, list)
            else f"{key} {value}"
            for key, value in self.options().items()
        ]

    @property
    def thread_invariant(self) -> bool:
        """False if several threads may change bits: a norm is a sum over a matrix, and a blur is a convolution."""
        return not {*self.options()} - {"accumulate", "no_decay"}
