"""The base class of data sets in a folder: `<class>/*`, or `train/<class>/*`, optionally with `val/` and `test/`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.datasets.base import Dataset, Fraction
from pipeline.datasets.raw import RawData, RawSplit, labels
from pipeline.errors import UserError
from pipeline.settings import UserPath

SPLITS = ("train", "val", "test")


class Folder(Dataset):
    """A data set in a folder with the layout of torchvision's `ImageFolder`."""

    path: UserPath
    """The path of the folder. It contains either a subfolder for each class, or a folder `train` and optionally the
    folders `val` and `test`, each with a subfolder for each class."""
    val_share: Fraction = 0.1
    """Share of the training split to set aside for validation if there is no `val` folder."""
    test_share: Fraction = 0.2
    """Share of the examples outside `val` to set aside as the test split if there is no `test` folder."""

    @property
    def files(self) -> list[str]:
        return [self.path]

    def read(
        self,
        root: Path,
        extensions: tuple[str, ...],
        decode: Callable[[list[Path]], NDArray[Any] | list[str]],
    ) -> RawData:
        """Return the examples of all splits in the folder.

        Args:
            root: the project's folder, against which a relative path is resolved.
            extensions: the extensions of the files to read, in lower case.
            decode: a function that reads the files of a split, and returns their examples.

        Raises:
            UserError: the folder is missing, has fewer than two classes, has a class without files, or has different
                classes in different splits.
        """
        folder = root / self.path
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; set the dataset's path, from the project's root or absolute")
        subfolders = {name: folder / name for name in SPLITS if (folder / name).is_dir()}
        if "train" not in subfolders:
            subfolders = {"train": folder}
        classes = _classes(subfolders["train"])
        splits = {}
        for name, subfolder in subfolders.items():
            if odd := set(_classes(subfolder)) ^ set(classes):
                different = ", ".join(sorted(odd))
                raise UserError(f"{subfolder}: its classes differ from those of {subfolders['train']} in {different}")
            files = [_files(subfolder / class_, extensions) for class_ in classes]
            numbers = [number for number, inside in enumerate(files) for _ in inside]
            x = decode([file for inside in files for file in inside])
            splits[name] = RawSplit(x, labels(numbers, len(classes)))
        return RawData(
            source=self.path,
            train=splits["train"],
            val=splits.get("val"),
            test=splits.get("test"),
            val_size=self.val_share,
            test_size=self.test_share,
            classes=classes,
        )


def _classes(folder: Path) -> list[str]:
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        known = f"only {classes[0]!r}" if classes else "none"
        raise UserError(f"{folder}: needs a folder for each of two or more classes, and has {known}")
    return classes


def _files(folder: Path, extensions: Sequence[str]) -> list[Path]:
    """Return the files with the given extensions in a class's folder and its subfolders, sorted by path."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name.lower().endswith(tuple(extensions))]
    if not files:
        raise UserError(f"{folder}: a class without files; their names must end in {', '.join(extensions)}")
    return sorted(files)
