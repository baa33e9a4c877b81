"""The base class of all data sets, and the registry of their classes.

Each data set is a class. Its fields are the settings of the data set, and its docstring names the source. The method
`load` returns the published data, and the method `encode` turns the data into arrays.
"""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, PlainValidator, SerializeAsAny

from pipeline.datasets.raw import Encoded, RawData, RawSplit
from pipeline.losses import CLASSIFICATION
from pipeline.settings import ExampleKind, Resolved, Settings, validated_by_name

Fraction = Annotated[float, Field(gt=0, lt=1)]
REGISTRY: dict[str, type["Dataset"]] = {}
"""Maps the name of each data set to its class. A subclass of `Dataset` registers itself if its `name` has a default."""


class Dataset(Settings):
    """A data set: its settings, and the methods that load and encode its examples."""

    kind: ClassVar[ExampleKind] = "image"
    """The kind of the examples."""
    losses: ClassVar[tuple[str, ...]] = CLASSIFICATION
    """The names of the losses that fit the targets."""

    name: str
    """The name of the data set in params.yaml."""

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        if isinstance(name := cls.model_fields["name"].default, str):
            REGISTRY[name] = cls

    @property
    def files(self) -> list[str]:
        """The paths of the user's own files and folders, as given in the settings."""
        return []

    def resolve(self) -> Resolved:
        """Return all settings, including the name, as plain values."""
        return self.model_dump()

    @abstractmethod
    def load(self, root: Path) -> RawData:
        """Return the published data.

        Args:
            root: the project's folder. Relative paths are resolved against it, and downloads are stored in it.

        Raises:
            UserError: the data cannot be fetched or read, or have unexpected content. The error message is a single
                line.
        """

    def encode(self, raw: RawData, splits: Mapping[str, RawSplit], root: Path) -> Encoded:
        """Return the splits as arrays. Their encoding depends only on the training split.

        Args:
            raw: the data that `load` returned.
            splits: the splits `train`, `val` and `test`.
            root: the project's folder, as for `load`.

        Raises:
            UserError: the data cannot be encoded. The error message is a single line.
        """
        arrays = {name: {"x": np.asarray(split.x), "y": split.y} for name, split in splits.items()}
        return Encoded(arrays, input_shape=list(arrays["train"]["x"].shape[1:]))


def _validated(given: Any) -> Dataset:
    return given if isinstance(given, Dataset) else validated_by_name(given, REGISTRY)


AnyDataset = Annotated[SerializeAsAny[Dataset], PlainValidator(_validated)]
"""A data set in params.yaml: either just a name, or a mapping with `name` and the settings."""
