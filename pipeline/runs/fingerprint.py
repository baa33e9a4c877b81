"""Computes the fingerprint of a run: a digest of everything that can change the run's result, and of nothing else.

The fingerprint ignores the names of runs, the number of workers, comments and docstrings. The code that the fingerprint
covers is found by following imports from the training loop, so nobody has to maintain a list of code files.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import user_code
from pipeline.errors import UserError
from pipeline.files import root
from pipeline.user_files import digest

if TYPE_CHECKING:
    from pipeline.datasets import Summary
    from pipeline.runs.params import Params, Run

PACKAGE = Path(__file__).parent.parent
ROOTS = ("pipeline.training.loop", "pipeline.sweep.checkpoint")
"""The modules where the search for code starts, in addition to the modules of the run's own classes."""


def fingerprint(run: "Run", data: "Summary", device: str, torch: str) -> str:
    """Return the SHA-256 digest of everything that the result of a run depends on, as 64 hexadecimal digits.

    For pretrained weights, the content of the file counts, but the file's name does not.

    Args:
        run: the run. All settings of the run count, but the names of the run and of its scheduler do not.
        data: the summary of the data. The training and validation splits and the form of the inputs count, but the test
            split does not.
        device: the kind of device, such as cpu.
        torch: the version of torch.
    """
    settings = run.resolved()
    for file in run.workload.files:
        settings["model"]["weights"] = digest(root() / file)
    content = {
        "settings": settings,
        "data": [data.digests["train"], data.digests["val"], data.kind, data.white, len(data.classes)],
        "inputs": [data.input_shape, data.vocabulary_size],
        "code": code_digest(frozenset([*ROOTS, *class_modules(run)])),
        "user code": {key: code for _, name in run.builders for key, code in user_files(name).items()},
        "device": device,
        "torch": torch,
    }
    content |= {package: version(package) for package in run.workload.packages if package != "torch"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def class_modules(run: "Run") -> set[str]:
    """Return the modules of the classes that build the run's schedule, network and optimizer."""
    schedules = [run.schedule, *run.schedule.parts()]
    return {type(schedule).__module__ for schedule in schedules} | run.workload.modules


@cache
def code_digest(roots: Iterable[str]) -> str:
    """Return a digest of the code of the modules ``roots`` and of everything that they import from this package."""
    digest = hashlib.sha256()
    for name, file in sorted(modules(roots, PACKAGE.parent, PACKAGE.name).items()):
        digest.update(f"{name} {_read(file.read_bytes(), file, name).code}".encode())
    return digest.hexdigest()


def builders(params: "Params") -> list[tuple[str, str]]:
    """Return the user's builders that a sweep and its baseline call, as pairs like those of `Run.builders`."""
    names = [*params.chosen_schedulers(), params.baseline]
    runs = params.model_copy(update={"scheduler": names}).runs()
    return list(dict.fromkeys(builder for run in runs for builder in run.builders))


@cache
def user_files(name: str) -> dict[str, str]:
    """Return the digest of each module of a user's builder, keyed by module name, or {} if the builder has no file.

    The search starts from the builder's module or, if the builder is in a package, from all modules of this package. It
    follows imports of modules in the same folder. If the builder belongs to an installed library, other libraries in
    the folder are left out.
    """
    files = user_code.files(name)
    if not files:
        return {}
    folder = files[0][0]
    names = [".".join(_parts(file, folder)) for _, file in files]
    inside = (
        "" if folder == Path.cwd() else names[0].split(".")[0]
    )  # the folder of an installed package holds other libraries too
    found = sorted(modules(names, folder, inside).items())
    return {module: _read(file.read_bytes(), file, module).code for module, file in found}


def modules(roots: Iterable[str], folder: Path, inside: str = "") -> dict[str, Path]:
    """Return the files of the modules ``roots`` and of all modules they import from ``folder``, keyed by module name.

    Imports under `if TYPE_CHECKING` are ignored.

    Args:
        roots: the names of the modules where the search starts.
        folder: the folder that contains the outermost packages.
        inside: the only package to search, or "" for all packages.
    """
    files: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        file = _file(name, folder)
        if name in files or file is None or (inside and name.split(".")[0] != inside):
            continue
        files[name] = file
        waiting += _read(file.read_bytes(), file, name).imports
    return files


@dataclass(frozen=True)
class _Module:
    """The imports of a module, and a digest of its code."""

    imports: list[str]
    code: str
    """A digest of the module's code, without comments, docstrings and layout."""


@cache
def _read(content: bytes, file: Path, name: str) -> _Module:
    """Return the imports of a module, and the digest of its code.

    Raises:
        UserError: one of the user's modules is not valid Python.
    """
    try:
        tree = ast.parse(content, file.name)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{file} is not Python: {user_code.told(error)}") from None
    imports = [*_imports(tree, name, is_package=file.name == "__init__.py")]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_text(statement)]  # type: ignore[attr-defined]
    return _Module(imports, hashlib.sha256(ast.dump(tree).encode()).hexdigest())


def _file(name: str, folder: Path) -> Path | None:
    base = folder.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _parts(file: Path, folder: Path) -> list[str]:
    parts = list(file.relative_to(folder).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def _imports(tree: ast.AST, name: str, is_package: bool) -> Iterator[str]:
    """Yield the names that a module imports: `from a import b` yields a and a.b, because b may be a module."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = name.split(".")[: len(name.split(".")) - node.level + is_package]
                module = ".".join([*package, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of a syntax tree except the nodes under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from _running(other)
        else:
            yield node
            yield from _running(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
