"""Code that sends a sweep's modules, data and weights to nodes that do not share a disk with this machine.

Ray sends the workers the modules of this package and any of the user's own modules that are not installed. Each data or
weights file is sent to a node only once. The node stores the file as `lr-schedules-<user ID>/<SHA-256>` in its
temporary folder. Each worker's folder contains a link to the file.

Installed packages are not shipped. Their versions on a node must be the same as those on this machine.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from pipeline import user_code
from pipeline.errors import UserError
from pipeline.files import replacing, root
from pipeline.runs import fingerprint
from pipeline.runs.run import Run

Reference = TypeVar("Reference")


@dataclass(frozen=True)
class Compared:
    """The names of the modules, builders and packages that must be the same on all machines."""

    modules: tuple[str, ...]
    """Modules of this package."""
    builders: tuple[str, ...]
    """The user's own builders of models, schedules and so on."""
    packages: tuple[str, ...]
    """Installed packages."""

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Compared":
        """Return the names of the modules, builders and packages that can change the results of ``runs``."""
        classes = {name for run in runs for name in fingerprint.class_modules(run)}
        builders = dict.fromkeys(name for run in runs for _, name in run.builders)
        packages = dict.fromkeys(package for run in runs for package in run.workload.packages)
        return cls((*fingerprint.ROOTS, *sorted(classes)), tuple(builders), tuple(packages))

    def versions(self) -> dict[str, str]:
        """Return the digest or version of each item on this machine, keyed by name, or `none` if the item is missing.

        The part of a version after a `+` is left out, because this machine may have a CPU build and the nodes a GPU
        build. The pool compares the full versions of torch that the workers report.
        """
        versions = {"pipeline": fingerprint.code_digest(frozenset(self.modules))}
        for name in self.builders:
            files = fingerprint.user_files(name)
            versions[name.partition(":")[0]] = _digest(repr(sorted(files.items())).encode()) if files else "none"
        for name in self.packages:
            try:
                versions[name] = version(name).partition("+")[0]
            except PackageNotFoundError:
                versions[name] = "none"
        return versions


@dataclass(frozen=True)
class Shipment:
    """The code, data and weights to ship to the nodes."""

    code: dict[str, Path]
    """The code files, keyed by their names in a worker's folder."""
    files: dict[str, Path]
    """The data and weights files, keyed by their names in a worker's folder."""
    compared: Compared

    @classmethod
    def of(cls, runs: Sequence[Run], data: Path) -> "Shipment":
        """Return the shipment for runs of one task; ``data`` is the data folder, relative to the current folder.

        Raises:
            UserError: a weights file is not in the project's folder.
        """
        compared, here = Compared.of(runs), Path.cwd()
        package = fingerprint.PACKAGE
        code = {str(file.relative_to(package.parent)): file for file in package.rglob("*.py")}
        own = [name for name in compared.builders if any(folder == here for folder, _ in user_code.files(name))]
        for file in fingerprint.modules([name.partition(":")[0] for name in own], here).values():
            outermost = here / file.relative_to(here).parts[0]
            for module in sorted(outermost.rglob("*.py")) if outermost.is_dir() else [outermost]:
                code[str(module.relative_to(here))] = module
        files = {str(file): file for file in sorted(data.iterdir()) if file.is_file()} if data.is_dir() else {}
        for name in {name for run in runs for name in run.workload.files}:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise UserError(f"weights {name}: not in the project's folder, so the file cannot be sent to a node")
            files[name] = root() / name
        return cls(code, files, compared)

    def pack(self, folder: Path) -> dict[str, str]:
        """Copy the code to a folder; return the SHA-256 of each data or weights file, keyed by file name."""
        for name, file in self.code.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        digests = {name: _digest(file.read_bytes()) for name, file in self.files.items()}
        # On each node, workers whose packed folders are identical share one folder.
        # shipment.txt adds the digests of the data, so workers with different data get different folders.
        (folder / "shipment.txt").write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
        return digests


def unpack(files: Mapping[str, tuple[str, Reference]], fetch: Callable[[Reference], bytes]) -> None:
    """Fetch the files that this node lacks, and then link all files into the worker's current folder.

    Args:
        files: maps the name of each file to its SHA-256 and a reference to its content.
        fetch: returns the content of a referenced file.

    Raises:
        UserError: a file on this node was altered, or the folder that stores the files belongs to another user.
    """
    folder = Path(tempfile.gettempdir()) / f"lr-schedules-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user; set TMPDIR on the node")
    for name, (digest, reference) in files.items():
        file, link = folder / digest, Path(name)
        with FileLock(folder / f"{digest}.lock"):  # so that the workers on a node fetch the file only once
            if not file.exists():
                with replacing(file) as draft:
                    draft.write_bytes(fetch(reference))
        if _digest(file.read_bytes()) != digest:
            raise UserError(f"has another {name} than this machine: {file} was altered; remove it there")
        if not link.is_symlink() or link.readlink() != file:
            with replacing(link) as draft:
                draft.symlink_to(file)


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Return the end of an error line about the first version that differs, or "" if all versions are the same."""
    for name, own in here.items():
        if (other := there[name]) != own:
            versions = "" if max(len(own), len(other)) == 64 else f" ({other}; here {own})"
            return f"has another {name} than this machine{versions}: all machines must have the same packages"
    return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
