"""A file or folder is replaced either completely or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.files import clear_drafts, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_folder(path: Path, content: str) -> None:
    path.mkdir()
    (path / "inner").write_text(content)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    for text in ("old", "nëw"):
        write_text(target, text)
        assert target.read_bytes() == text.encode()
    assert names(target.parent) == ["file.txt"]


def test_a_folder_is_replaced_with_its_content(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("old", "new"):
        with replacing(target) as draft:
            draft.mkdir()
            (draft / name).touch()
        assert names(target) == [name]
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("folder", [True, False])
def test_a_failing_block_changes_nothing(tmp_path: Path, folder: bool, exists: bool) -> None:
    target = tmp_path / "target"
    write = write_folder if folder else Path.write_text
    if exists:
        write(target, "old")
    before = names(tmp_path)
    with pytest.raises(KeyboardInterrupt), replacing(target) as draft:
        write(draft, "new")
        raise KeyboardInterrupt
    assert names(tmp_path) == before
    if exists:
        assert (target / "inner" if folder else target).read_text() == "old"


def test_readers_see_the_old_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    with replacing(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_an_error_names_the_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(OSError, match="No space left") as raised, replacing(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.filename == str(target)
    with pytest.raises(FileNotFoundError) as missing, replacing(target):
        pass  # the block writes nothing
    assert missing.value.filename == str(target)


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_folder(target, "old")
    with pytest.raises(FileNotFoundError), replacing(target):
        pass  # the block writes nothing
    assert (target / "inner").read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_a_file_never_replaces_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This can happen if a user writes `--out src` instead of `--out src/main.py`."""
    write_folder(tmp_path / "src", "old")
    monkeypatch.chdir(tmp_path / "src")
    for path in (tmp_path / "src", Path("."), Path(".."), Path("../src")):
        with pytest.raises(IsADirectoryError) as raised:
            write_text(path, "new")
        assert raised.value.filename == str(path)
    assert (tmp_path / "src" / "inner").read_text() == "old"
    assert names(tmp_path) == ["src"]


def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    """Drafts of processes that are still running are kept, as are other hidden files."""
    script = (
        "import os, signal, sys; from pathlib import Path; from pipeline.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as file, replacing(Path(sys.argv[2])) as folder:\n"
        "    file.touch(); folder.mkdir(); (folder / 'inner').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    targets = [str(tmp_path / name) for name in ("file", "folder")]
    done = subprocess.run([sys.executable, "-c", script, *targets], env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.returncode != 0
    assert len(names(tmp_path)) == 2
    (tmp_path / ".gitignore").touch()
    (tmp_path / f".kept.{os.getpid()}-short").touch()
    with replacing(tmp_path / "target") as draft:
        draft.touch()
        clear_drafts(tmp_path)
        assert set(names(tmp_path)) == {".gitignore", f".kept.{os.getpid()}-short", draft.name}
