"""CIFAR-10's real loading code, tested on small archives in the published format.

The tests import torchvision themselves. An import at the top would cost every worker of pytest two seconds.
"""

import hashlib
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline import datasets
from pipeline.datasets import cifar10, fetch
from pipeline.errors import UserError
from tests.helpers.data import archive as packed

NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote strings, because the published batches were written by Python 2."""

    write: Callable[[bytes], None]
    memoize: Callable[[object], None]
    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def batch(number: int, **changes: Any) -> dict[bytes, Any]:
    pixels = np.random.default_rng(number).integers(256, size=(20, 3072), dtype=np.uint8)
    return {b"data": pixels, b"labels": [n % 10 for n in range(20)]} | {
        key.encode(): value for key, value in changes.items()
    }


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes a mirror with a CIFAR-10 of 100 + 20 pictures, and can replace members of its archive.

    Torchvision's checksums are changed to match.
    """
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    monkeypatch.setattr(cifar10, "VAL_EXAMPLES", 10)
    monkeypatch.setattr(fetch, "RETRIES", 0)
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))

    def make(**replaced: bytes) -> None:
        members = {name: pickled(batch(number)) for number, (name, _) in enumerate(CIFAR10.train_list)}
        members |= {name: pickled(batch(9)) for name, _ in CIFAR10.test_list}
        members["batches.meta"] = pickled({b"label_names": NAMES})
        members |= replaced
        file = tmp_path / "mirror" / "cifar10" / CIFAR10.filename
        file.parent.mkdir(parents=True)
        file.write_bytes(packed({f"{CIFAR10.base_folder}/{name}": content for name, content in members.items()}))
        sums = {name: hashlib.md5(content).hexdigest() for name, content in members.items()}
        monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(file.read_bytes()).hexdigest())
        monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name, _ in CIFAR10.train_list])
        monkeypatch.setattr(CIFAR10, "test_list", [[name, sums[name]] for name, _ in CIFAR10.test_list])
        monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})

    return make


def prepare(folder: Path) -> datasets.Summary:
    return datasets.prepare(cifar10.CIFAR10(), folder / "data", folder)


def test_pictures_and_classes(archive: Callable[..., None], tmp_path: Path) -> None:
    archive()
    summary = prepare(tmp_path)
    assert summary.classes == [name.decode() for name in NAMES]
    assert (summary.examples, summary.input_shape) == ({"train": 90, "val": 10, "test": 20}, [3, 32, 32])
    test = datasets.read(tmp_path / "data", "test")
    assert np.array_equal(test.x.numpy(), batch(9)[b"data"].reshape(20, 3, 32, 32))
    assert test.y.tolist() == batch(9)[b"labels"]


class Evil:
    def __reduce__(self) -> Any:
        return print, ("executed",)


@pytest.mark.parametrize(
    ("replaced", "says"),
    [
        ({"data_batch_2": pickle.dumps(Evil(), 2)}, "print, which no picture needs"),
        ({"data_batch_2": pickled(batch(1, labels=[10] * 20))}, "its labels do not fit its pictures"),
        ({"data_batch_2": pickled(batch(1, labels=[1] * 19))}, "its labels do not fit its pictures"),
        ({"data_batch_2": pickled({b"labels": []})}, "data_batch_2 in the archive cannot be read"),
        ({"data_batch_2": pickled([1])}, "data_batch_2 in the archive cannot be read"),
        ({"data_batch_2": b"no pickle"}, "data_batch_2 in the archive cannot be read"),
        ({"data_batch_2": b""}, "data_batch_2 in the archive cannot be read"),
    ],
)
def test_bad_content_is_one_line(
    archive: Callable[..., None],
    tmp_path: Path,
    replaced: dict[str, bytes],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive(**replaced)
    with pytest.raises(UserError, match=says) as raised:
        prepare(tmp_path)
    assert "\n" not in str(raised.value)
    assert "executed" not in capsys.readouterr().out
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("damage", ["truncated", "altered", "another batch"])
def test_other_bytes_are_refused(
    archive: Callable[..., None], tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR10

    archive()
    file = tmp_path / "mirror" / "cifar10" / CIFAR10.filename
    content = file.read_bytes()
    says = "its checksum is not the published one"
    if damage == "truncated":
        file.write_bytes(content[:-100])
    elif damage == "altered":
        file.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    else:  # the archive matches its checksum, but one of its members does not
        monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", "0" * 32]])
        says = "the checksum of test_batch in the archive is not the published one"
    with pytest.raises(UserError, match=says):
        prepare(tmp_path)
