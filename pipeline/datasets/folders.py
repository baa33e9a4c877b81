"""Folders of one's own files: `<class>/*`, or `train/<class>/*` with or without `val/` and `test/` beside it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.datasets.published import Examples, Published, labels
from pipeline.errors import UserError
from pipeline.settings import Kind

SPLITS = ("train", "val", "test")


def load(
    settings: Mapping[str, Any],
    root: Path,
    kind: Kind,
    extensions: tuple[str, ...],
    read: Callable[[list[Path]], NDArray[Any] | Sequence[str]],
) -> Published:
    """The examples of each split that is there.

    Args:
        settings: of the data set: `path`, of a folder in torchvision's `ImageFolder` layout, `val_share`, `test_share`.
        root: where a relative path begins.
        kind: what an example is.
        extensions: of the files that count, in lower case; all others are left alone.
        read: what to make of the files of a split.

    Raises:
        UserError: there is no such folder, no class, a class without files, or a split with other classes.
    """
    from torchvision.datasets.folder import has_file_allowed_extension

    folder = root / settings["path"]
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; set the dataset's path, from the project's root or absolute")
    split = {name: folder / name for name in SPLITS if (folder / name).is_dir()}
    if "train" not in split:
        split = {"train": folder}
    classes = _classes(split["train"])
    found = {}
    for name, subfolder in split.items():
        if (found_here := _classes(subfolder)) != classes:
            odd = sorted(set(found_here) ^ set(classes))
            raise UserError(f"{subfolder}: its classes differ from those of {split['train']} in {', '.join(odd)}")
        files, numbers = [], []
        for number, class_ in enumerate(classes):
            inside = sorted(
                file
                for file in (subfolder / class_).rglob("*")
                if file.is_file() and has_file_allowed_extension(file.name, extensions)
            )
            if not inside:
                raise UserError(f"{subfolder / class_}: a class without files; counted are {', '.join(extensions)}")
            files += inside
            numbers += [number] * len(inside)
        found[name] = Examples(read(files), labels(numbers, len(classes)))
    return Published(
        kind=kind,
        source=str(settings["path"]),
        train=found["train"],
        val=found.get("val"),
        test=found.get("test"),
        val_size=settings["val_share"],
        test_size=settings["test_share"],
        classes=classes,
    )


def _classes(folder: Path) -> list[str]:
    classes = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(classes) < 2:
        known = f"only {classes[0]!r}" if classes else "none"
        raise UserError(f"{folder}: needs a folder for each of two or more classes, and has {known}")
    return classes
