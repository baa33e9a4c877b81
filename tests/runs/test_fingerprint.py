"""The fingerprint depends on everything that can change a run's result, and on nothing else."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets import Summary
from pipeline.errors import UserError
from pipeline.runs import fingerprint as room
from pipeline.runs.fingerprint import ROOTS, fingerprint, modules, user_files
from pipeline.runs.params import Run
from tests.helpers.project import EVERYTHING, ROOT, load


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Clear the caches of code digests before and after a test."""
    for cached in (room.code_digest, room.user_files):
        cached.cache_clear()
    yield
    for cached in (room.code_digest, room.user_files):
        cached.cache_clear()


def one(**changes: Any) -> Run:
    return load(**{"scheduler": "cosine", "seeds": 1, "tasks__digits-mlp__epochs": 2, **changes}).runs(1077)[0]


def of(run: Run, summary: Summary, device: str = "cpu", torch: str = "2.9") -> str:
    return fingerprint(run, summary, device, torch)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [1]},
        {"lr": 0.2},
        {"optimizer": "adam"},
        {"optimizers__sgd__momentum": 0.8},
        {"schedulers__cosine__eta_min": 1e-5},
        {"scheduler": "step"},
        {"tasks__digits-mlp__epochs": 3},
        {"tasks__digits-mlp__batch_size": 16},
        {"tasks__digits-mlp__model": {"name": "mlp", "hidden": [64, 33]}},
        {"tasks__digits-mlp__loss": "nll", "tasks__digits-mlp__model": {"name": "cnn"}},
        {"tasks__digits-mlp__train_subset": 1000},
        {"tasks__digits-mlp__record_every": 2},
        {"tasks__digits-mlp__normalize": {"mean": [0.5], "std": [0.5]}},
        *({f"tasks__digits-mlp__{key}": value} for key, value in EVERYTHING.items()),
    ],
)
def test_settings_that_can_change_the_result_change_the_digest(changes: dict[str, Any], summary: Summary) -> None:
    assert of(one(**changes), summary) != of(one(), summary)


def test_the_content_of_a_file_of_weights_counts(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are relative to the project's root, which is `DVC_ROOT` if DVC runs in a copy of the project."""
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))

    def found(file: str | None, content: bytes = b"") -> str:
        if file is not None:
            (tmp_path / "project" / file).write_bytes(content)
        return of(one(**{"tasks__digits-mlp__model": {"name": "torchvision:resnet18", "weights": file}}), summary)

    first = found("a.pth", b"one")
    assert found("b.pth", b"one") == first
    assert len({first, found("a.pth", b"two"), found("a.pth", b"other"), found(None)}) == 4
    with pytest.raises(UserError, match=r"project/c.pth: no such file or folder; write it from the project's root"):
        of(one(**{"tasks__digits-mlp__model": {"name": "torchvision:resnet18", "weights": "c.pth"}}), summary)


def test_torchvisions_version_counts_only_for_its_models(summary: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"tasks__digits-mlp__model": "torchvision:resnet18"}
    before = of(one(**model), summary), of(one(), summary)
    monkeypatch.setattr(room, "version", lambda package: "0.1")
    assert of(one(**model), summary) != before[0]
    assert of(one(), summary) == before[1]


def test_data_device_and_torch_change_the_fingerprint(summary: Summary) -> None:
    found = {of(one(), summary), of(one(), summary, "cuda"), of(one(), summary, torch="2.10")}
    for split in ("train", "val"):
        found.add(of(one(), replace(summary, digests=summary.digests | {split: "0"})))
    assert len(found) == 5


def test_torchvisions_version_counts_for_runs_that_augment(summary: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [one(), one(**{"tasks__digits-mlp__augment": ["RandomHorizontalFlip"]})]
    before = [of(run, summary) for run in chosen]
    monkeypatch.setattr(room, "version", lambda package: "0.1")
    assert [of(run, summary) == known for run, known in zip(chosen, before, strict=True)] == [True, False]


def test_names_and_the_test_split_do_not_change_the_fingerprint(summary: Summary) -> None:
    other = replace(summary, digests=summary.digests | {"test": "0"}, source="elsewhere")
    names = {"name": "x-s0", "group": "x", "task": "y", "scheduler": "z", "optimizer": "o"}
    assert of(one().model_copy(update=names), other) == of(one(), summary)
    assert len(of(one(), summary)) == 64


def test_the_same_schedule_written_differently_is_the_same_run(summary: Summary) -> None:
    half = {"tasks__digits-mlp__epochs": 4, "schedulers__cosine__T_max": "50%"}
    assert of(one(**half), summary) == of(one(**half | {"schedulers__cosine__T_max": 2}), summary)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = tmp_path_factory.mktemp("copy") / "pipeline"
    shutil.copytree(ROOT / "pipeline", package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


@pytest.fixture
def copy(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose code the fingerprint reads. A test that edits the copy must undo its edit."""
    monkeypatch.setattr(room, "PACKAGE", copied)
    return copied


def edited(files: Sequence[Path], summary: Summary, text: str, **changes: Any) -> str:
    """Append ``text`` to files, and return the fingerprint; the files are then restored."""
    before = [file.read_text() for file in files]
    for file, content in zip(files, before, strict=True):
        file.write_text(content + text)
    room.code_digest.cache_clear()
    found = of(one(**changes), summary)
    for file, content in zip(files, before, strict=True):
        file.write_text(content)
    room.code_digest.cache_clear()
    return found


COSINE_WITH_SGD = ("pipeline.schedules.annealing", "pipeline.optimizers.sgd")
TRAINS = sorted(str(path.relative_to(ROOT)) for path in modules([*ROOTS, *COSINE_WITH_SGD], ROOT, "pipeline").values())


def test_the_code_that_trains_is_found_by_imports() -> None:
    """The code that trains includes the training loop and the reading of data, but not reports and tracking."""
    assert {"loop", "state", "training_set", "stacks", "evaluation", "determinism"} <= {
        Path(name).stem for name in TRAINS if name.startswith("pipeline/training/")
    }
    assert {"pipeline/datasets/store.py", "pipeline/networks/modules.py", "pipeline/losses.py"} <= {*TRAINS}
    rooms = {Path(name).parts[1] for name in TRAINS}
    assert not rooms & {"report", "tracking", "comparison", "cli", "stages"}
    assert not {"pipeline/runs/params.py", "pipeline/runs/records.py"} & {*TRAINS}


@pytest.fixture(scope="module")
def unedited(summary: Summary) -> str:
    return of(one(), summary)


@pytest.mark.parametrize("name", TRAINS)
def test_an_edit_of_code_that_trains_changes_the_digest(name: str, copy: Path, summary: Summary, unedited: str) -> None:
    assert edited([copy.parent / name], summary, "\nnew = 1\n") != unedited


def test_docstrings_comments_and_other_code_do_not_count(copy: Path, summary: Summary, unedited: str) -> None:
    assert edited([copy.parent / name for name in TRAINS], summary, '\n"""A text."""\n# a comment\n') == unedited
    assert edited([copy / name for name in OTHERS], summary, "\nnew = 1\n") == unedited


OTHERS = [
    *(
        "report/document.py",
        "report/wording.py",
        "tracking/tracker.py",
        "comparison/answer.py",
        "cli/looking.py",
        "runs/params.py",
    ),
    "sweep/display.py",
    *(f"datasets/{name}.py" for name in ("__init__", "base", "digits", "table", "columns", "text", "prepare")),
    *(f"optimizers/{name}.py" for name in ("__init__", "adam", "muon", "torch_optim", "own")),
]
"""Code that does not train these runs, including the code that prepares data, which the data's digest replaces."""


def test_another_schedules_code_does_not_change_the_fingerprint(copy: Path, summary: Summary) -> None:
    """A new class of schedule, whether in a new or an existing module, does not make other runs train again."""
    newest, modern = copy / "schedules" / "newest.py", [copy / "schedules" / "modern.py"]
    newest.write_text("new = 1\n")
    assert of(one(), summary) == edited(modern, summary, "\nnew = 1\n")
    assert edited(modern, summary, "\nnew = 1\n", scheduler="wsd") != of(one(scheduler="wsd"), summary)
    newest.unlink()


def test_an_optimizers_code_counts_for_its_own_runs(copy: Path, summary: Summary) -> None:
    """An optimizer's code also counts if it is the `rest` of Muon, or if its schedule-free form is used."""
    adam = [copy / "optimizers" / "adam.py"]
    mine = {"optimizer": "mine", "optimizers__mine": {"class": "Muon", "rest": {"class": "AdamW"}}}
    for changes in ({"optimizer": "adam"}, {"scheduler": "schedule-free"}, mine):
        assert edited(adam, summary, "\nnew = 1\n", **changes) != of(one(**changes), summary)
    made = {"optimizer": "mine", "optimizers__mine": {"class": "NAdam"}}
    assert edited(adam, summary, "\nnew = 1\n", **made) == of(one(**made), summary)


def test_a_user_model_counts_with_everything_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.py").write_text("width = 3\n")
    (tmp_path / "unused.py").write_text("width = 3\n")

    def found(text: str, layers: str = "width = 3\n") -> dict[str, str]:
        (tmp_path / "mine.py").write_text(text)
        (tmp_path / "layers.py").write_text(layers)
        room.user_files.cache_clear()
        return user_files("mine:build")

    plain = found("import torch\nfrom layers import width\ndef build(s, n): return 1\n")
    assert set(plain) == {"mine", "layers"}
    assert found("import torch\nfrom layers import width\ndef build(s, n):\n    return 1  # one\n") == plain
    assert found("import torch\nfrom layers import width\ndef build(s, n): return 2\n") != plain
    assert found("import torch\nfrom layers import width\ndef build(s, n): return 1\n", "width = 4\n") != plain


def test_an_edit_of_a_users_schedule_changes_only_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summary: Summary
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = {"class": "mine:build", "warmup": 3}
    runs = load(scheduler=["cosine", "mine"], schedulers__mine=mine, seeds=1).runs(1077)

    def found(text: str) -> list[str]:
        (tmp_path / "mine.py").write_text(text)
        room.user_files.cache_clear()
        return [of(run, summary) for run in runs]

    cosine, own = found("def build(optimizer, epochs, steps, warmup): return 1\n")
    assert found("def build(optimizer, epochs, steps, warmup):\n    return 1  # one\n") == [cosine, own]
    assert found("def build(optimizer, epochs, steps, warmup): return 2\n")[0] == cosine
    assert found("def build(optimizer, epochs, steps, warmup): return 2\n")[1] != own
    other = load(scheduler="mine", schedulers__mine=mine | {"warmup": 4}, seeds=1).runs(1077)[0]
    assert of(other, summary) != of(runs[1], summary)


def test_a_user_package_counts_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("__init__", "models", "layers"):
        (tmp_path / "mine" / f"{name}.py").write_text("from .layers import x\n" if name == "models" else "x = 1\n")
    assert set(user_files("mine.models:build")) == {"mine", "mine.models", "mine.layers"}
    assert user_files("nowhere.models:build") == {}


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import b\nelse:\n    import c\n"
        "def f():\n    import d\n"
    )
    for name in "bcd":
        (tmp_path / f"{name}.py").touch()
    assert set(modules(["a"], tmp_path)) == {"a", "c", "d"}
