"""Ship a sweep to nodes that need not share a disk with this machine.

Code goes with the job: this package, and the user's own modules that are not installed. The prepared data and a file of
weights go to each node once, where they are kept by their SHA-256:

    <temporary folder>/lr-schedules-<user>/<SHA-256>

In the folder that a worker works in, links give them their names. What is installed is not shipped: it is compared.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """What a node must have as this machine has it."""

    modules: tuple[str, ...]
    """Of this package."""
    builders: tuple[str, ...]
    """Of the user's."""
    packages: tuple[str, ...]
    """That are installed."""

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Compared":
        """Return what matters to runs."""
        classes = {name for run in runs for name in fingerprint.class_modules(run)}
        builders = dict.fromkeys(name for run in runs for _, name in run.builders)
        packages = dict.fromkeys(package for run in runs for package in run.workload.packages)
        return cls((*fingerprint.ROOTS, *sorted(classes)), tuple(builders), tuple(packages))

    def found(self) -> dict[str, str]:
        """Return what is here: a digest or a version of each, or `none`.

        Versions end before a `+`: this machine may have a build for CPUs, and the nodes one for GPUs. Among
        themselves, workers compare the whole of torch's.
        """
        found = {"pipeline": fingerprint.code_digest(frozenset(self.modules))}
        for name in self.builders:
            files = fingerprint.user_files(name)
            found[name.partition(":")[0]] = _digest(repr(sorted(files.items())).encode()) if files else "none"
        for name in self.packages:
            try:
                found[name] = version(name).partition("+")[0]
            except PackageNotFoundError:
                found[name] = "none"
        return found


@dataclass(frozen=True)
class Shipment:
    """What goes to the nodes."""

    code: dict[str, Path]
    """Modules, by their names in the folder that a worker works in."""
    files: dict[str, Path]
    """Data and weights, likewise."""
    compared: Compared

    @classmethod
    def of(cls, runs: Sequence[Run], data: Path, modules: Iterable[str] = ()) -> "Shipment":
        """Return what runs need.

        Args:
            runs: of one task.
            data: the folder of the prepared data, from the current one on.
            modules: more modules that jobs need, in the current folder.

        Raises:
            UserError: a file of weights is not below the project's root.
        """
        compared, here = Compared.of(runs), Path.cwd()
        package = fingerprint.PACKAGE
        code = {str(file.relative_to(package.parent)): file for file in package.rglob("*.py")}
        own = [name for name in compared.builders if any(folder == here for folder, _ in user_code.files(name))]
        for file in fingerprint.modules([*(name.partition(":")[0] for name in own), *modules], here).values():
            outermost = here / file.relative_to(here).parts[0]
            for each in sorted(outermost.rglob("*.py")) if outermost.is_dir() else [outermost]:
                code[str(each.relative_to(here))] = each
        files = {str(file): file for file in sorted(data.iterdir()) if file.is_file()} if data.is_dir() else {}
        for name in {name for run in runs for name in run.workload.files}:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise UserError(f"weights {name}: not below the project's folder, so that no node can have it there")
            files[name] = root() / name
        return cls(code, files, compared)

    def pack(self, folder: Path) -> dict[str, str]:
        """Put the code into a folder; return the SHA-256 of each of the files, by its name."""
        for name, file in self.code.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        digests = {name: _digest(file.read_bytes()) for name, file in self.files.items()}
        # A node keeps one folder for equal code; with other data it must be another, as links to them are in it.
        (folder / "shipment.txt").write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
        return digests


def unpack(files: Mapping[str, tuple[str, Reference]], fetch: Callable[[Reference], bytes]) -> None:
    """Put data and weights into the current folder, that of a worker: fetch what this node does not have.

    Args:
        files: the SHA-256 of each, and what it is fetched by; by their names.
        fetch: gets the content of one.

    Raises:
        UserError: what the node has is not what its name says.
    """
    kept = Path(tempfile.gettempdir()) / f"lr-schedules-{os.getuid()}"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    if kept.stat().st_uid != os.getuid():
        raise UserError(f"{kept} belongs to somebody else; set TMPDIR for the node")
    for name, (digest, reference) in files.items():
        file, link = kept / digest, Path(name)
        with FileLock(kept / f"{digest}.lock"):  # the workers of a node fetch it once
            if not file.exists():
                with replacing(file) as draft:
                    draft.write_bytes(fetch(reference))
        if _digest(file.read_bytes()) != digest:
            raise UserError(f"has another {name} than this machine: {file} was altered; remove it there")
        if not link.is_symlink() or link.readlink() != file:
            with replacing(link) as draft:
                draft.symlink_to(file)


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Return the end of a line on what differs first between this machine and a node; empty if nothing does."""
    for name, own in here.items():
        if (other := there[name]) != own:
            versions = "" if max(len(own), len(other)) == 64 else f" ({other}; here {own})"
            return f"has another {name} than this machine{versions}: what is installed must be the same everywhere"
    return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
