"""The datasets, each a module of `pipeline.datasets` with the same name."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PlainValidator, SerializeAsAny, model_validator

from pipeline.losses import CLASSIFICATION
from pipeline.settings import Resolved, Settings, validated_by_name

Kind = Literal["image", "text", "number", "tokens"]
"""The kind of an example."""
Path = Annotated[str, Field(min_length=1)]
"""From the project's root, or absolute."""
Fraction = Annotated[float, Field(gt=0, lt=1)]
TABLES = (".csv", ".csv.gz", ".tsv", ".parquet")
"""How the names of tables end."""
Side = Annotated[int, Field(ge=1, le=4096)]


class Dataset(Settings):
    """A source of examples."""

    kind: ClassVar[Kind] = "image"
    losses: ClassVar[tuple[str, ...]] = CLASSIFICATION
    """Those that may fit it."""

    name: str
    """Its name in params.yaml."""

    def resolve(self) -> Resolved:
        """Return plain settings, the name among them."""
        return self.model_dump()


class Digits(Dataset):
    """Handwritten digits of 8 x 8 pixels, which come with scikit-learn."""


class MNIST(Dataset):
    """Handwritten digits of 28 x 28 pixels."""


class CIFAR10(Dataset):
    """Colour photographs of 32 x 32 pixels in ten classes."""


class Square(Dataset):
    """Ten points of y = x^2."""

    kind = "number"
    losses = ("squared-error",)


class _Text(Dataset):
    kind = "text"

    vocabulary_size: Annotated[int, Field(ge=1, le=65_000)] = 25_000
    """The number of words: the most frequent of the training split; all others count as one unknown word."""
    vectors: Path | None = None
    """A file of pretrained word vectors in GloVe's text format: on each line a word and its numbers."""


class IMDb(_Text):
    """Film reviews, positive or negative."""


class _Folder(Dataset):
    path: Path
    """The folder, with a subfolder for each class, or `train`, `val` and `test` above them."""
    val_share: Fraction = 0.1
    """Fraction of the training split set aside for validation if there is no folder `val`."""
    test_share: Fraction = 0.2
    """Fraction of all examples set aside as the test split if there is no folder `test`."""


class ImageFolder(_Folder):
    """Images in a folder of your own."""

    size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    """Height and width to resize to, in pixels; null: all images already have one size."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for red, green and blue."""


class TextFolder(_Text, _Folder):
    """Texts in a folder of your own."""


class _Tokens(Dataset):
    kind = "tokens"
    losses = ("next-token",)

    tokens: Literal["characters", "bpe"] = "characters"
    """The characters of the training part; or parts of words, by byte-level byte-pair encoding."""
    vocabulary_size: Annotated[int, Field(ge=257, le=65_000)] | None = None
    """The number of tokens; for `bpe`."""
    context: Annotated[int, Field(ge=1, le=65_536)]
    """Tokens that a model sees: the length of a window."""
    val_share: Fraction = 0.1
    """Fraction of the training part set aside for validation: its end."""
    test_share: Fraction = 0.1
    """Fraction of the text set aside as the test part: its end."""

    @model_validator(mode="after")
    def _counts_tokens_that_it_learns(self) -> "_Tokens":
        is_bpe = self.tokens == "bpe"
        if is_bpe != (self.vocabulary_size is not None):
            raise ValueError("vocabulary_size is missing" if is_bpe else "vocabulary_size is for tokens: bpe only")
        return self


class TextFile(_Tokens):
    """A text of your own, for a language model."""

    path: Path
    """The file; or a folder, whose files follow each other in the order of their names."""


class IMDbText(_Tokens):
    """Film reviews as one text, for a language model."""

    reviews: Annotated[int, Field(ge=2, le=25_000)] = 25_000
    """How many to take; the share for the test is of the published test split."""


def _table(path: str) -> str:
    if not path.lower().endswith(TABLES):
        raise ValueError(f"{path!r} is not the name of a table; allowed: names that end in {', '.join(TABLES)}")
    return path


TablePath = Annotated[str, AfterValidator(_table)]
Column = Annotated[str, Field(min_length=1)]


class Table(Dataset):
    """A table of your own. Its target says whether it is a classification or a regression."""

    kind = "number"
    losses = (*CLASSIFICATION, "mean-squared-error")

    path: TablePath
    """The file."""
    target: Column
    """The column to predict."""
    drop: list[Column] = []
    """The columns to leave out."""
    test_path: TablePath | None = None
    """A file with the test split; null: it is set aside."""
    val_share: Fraction = 0.1
    """Fraction of the training split set aside for validation."""
    test_share: Fraction = 0.2
    """Fraction of all rows set aside as the test split if there is no `test_path`."""

    @model_validator(mode="after")
    def _keeps_its_target(self) -> "Table":
        if self.target in self.drop:
            raise ValueError(f"drop leaves out {self.target!r}, which is the target")
        return self


DATASETS: dict[str, type[Dataset]] = {
    "digits": Digits,
    "mnist": MNIST,
    "cifar10": CIFAR10,
    "square": Square,
    "imdb": IMDb,
    "image-folder": ImageFolder,
    "text-folder": TextFolder,
    "text-file": TextFile,
    "imdb-text": IMDbText,
    "table": Table,
}
"""The names that params.yaml may give."""


def _validated(given: Any) -> Dataset:
    return given if isinstance(given, Dataset) else validated_by_name(given, DATASETS)


AnyDataset = Annotated[SerializeAsAny[Dataset], PlainValidator(_validated)]
"""A dataset, written as a name alone or as `name` with its settings."""
