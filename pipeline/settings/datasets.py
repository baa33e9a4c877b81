"""The settings of each source of data: a module of `pipeline.data` with the same name."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from pipeline.settings.base import Resolved, Settings, by_name

Kind = Literal["image", "text", "number"]
"""What an example is."""
Path = Annotated[str, Field(min_length=1)]
"""From the project's root, or absolute."""
Part = Annotated[float, Field(gt=0, lt=1)]
Side = Annotated[int, Field(ge=1, le=4096)]


class _Dataset(Settings):
    kind: ClassVar[Kind] = "image"
    name: str

    def resolve(self) -> Resolved:
        return self.model_dump()


class Digits(_Dataset):
    name: Literal["digits"]


class MNIST(_Dataset):
    name: Literal["mnist"]


class CIFAR10(_Dataset):
    name: Literal["cifar10"]


class Square(_Dataset):
    kind = "number"
    name: Literal["square"]


class _Text(_Dataset):
    kind = "text"
    vocabulary_size: Annotated[int, Field(ge=1, le=65_000)] = 25_000
    """The most frequent words of the training part; all others are one unknown word."""
    vectors: Path | None = None
    """A file of pretrained word vectors, a line a word: the word and its numbers (GloVe's text format)."""


class IMDb(_Text):
    name: Literal["imdb"]


class _Folder(_Dataset):
    path: Path
    val_share: Part = 0.1
    """Of the training part, set aside for validation where there is no folder `val`."""
    test_share: Part = 0.2
    """Of all, set aside as the test set where there is no folder `test`."""


class ImageFolder(_Folder):
    name: Literal["image-folder"]
    size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    """Height and width that pictures are brought to; null: they all have the same."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for red, green and blue."""


class TextFolder(_Text, _Folder):
    name: Literal["text-folder"]


AnyDataset = Annotated[
    Digits | MNIST | CIFAR10 | Square | IMDb | ImageFolder | TextFolder,
    Field(discriminator="name"),
    BeforeValidator(by_name),
]
"""Written as a name alone, or as `name` with its settings."""
