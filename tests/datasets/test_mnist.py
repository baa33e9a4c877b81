"""MNIST's real loading code, tested on small archives and, if there is a mirror, on the real archives.

The tests import torchvision themselves. An import at the top would cost every worker of pytest two seconds.
"""

import gzip
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline import datasets
from pipeline.datasets import fetch, mnist
from pipeline.errors import UserError

NOWHERE = "http://127.0.0.1:9/"
"""An address on which no server listens."""


def idx(array: np.ndarray) -> bytes:
    """Return an array of bytes as an IDX file (http://yann.lecun.com/exdb/mnist, "The IDX file format")."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with an MNIST of 40 + 20 pictures; torchvision's checksums are changed to match."""
    from torchvision.datasets import MNIST

    draw = np.random.default_rng(0)
    arrays = [
        draw.integers(256, size=(40, 28, 28), dtype=np.uint8),
        np.arange(40, dtype=np.uint8) % 10,
        draw.integers(256, size=(20, 28, 28), dtype=np.uint8),
        np.arange(20, dtype=np.uint8) % 10,
    ]
    resources = []
    for (name, _), array in zip(MNIST.resources, arrays, strict=True):
        file = tmp_path / "mirror" / "mnist" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(idx(array))
        resources.append((name, hashlib.md5(file.read_bytes()).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", resources)
    monkeypatch.setattr(MNIST, "mirrors", [NOWHERE])
    monkeypatch.setattr(mnist, "VAL_EXAMPLES", 10)
    monkeypatch.setattr(fetch, "RETRIES", 0)
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    return tmp_path / "mirror"


@pytest.fixture
def served(small: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(small))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_from_a_folder(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_MIRROR", str(small))
    prepared = datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path)
    assert prepared.examples == {"train": 30, "val": 10, "test": 20}
    test = datasets.read(tmp_path / "data", "test")
    assert test.y.tolist() == [number % 10 for number in range(20)]
    expected = np.random.default_rng(0)
    expected.integers(256, size=(40, 28, 28), dtype=np.uint8)
    assert np.array_equal(test.x[:, 0].numpy(), expected.integers(256, size=(20, 28, 28), dtype=np.uint8))


def test_from_a_url_and_then_from_the_downloads(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_MIRROR", served + "/")
    first = datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path)
    monkeypatch.setenv("DATA_MIRROR", NOWHERE)
    assert datasets.prepare(mnist.MNIST(), tmp_path / "again", tmp_path) == first


def test_from_the_published_address(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the mirror is empty, the published addresses are tried."""
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", [NOWHERE, f"{served}/mnist/"])
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "empty"))
    assert datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path).examples["test"] == 20


def test_no_network_and_no_mirror_is_one_line(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path)
    line = str(raised.value)
    for part in (NOWHERE + "train-images-idx3-ubyte.gz (no connection)", "DATA_MIRROR", "digits-mlp"):
        assert part in line
    assert "\n" not in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "page"])
def test_a_mirror_cannot_substitute_other_bytes(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setenv("DATA_MIRROR", str(small))
    file = small / "mnist" / MNIST.resources[2][0]
    content = file.read_bytes()
    damaged = {"truncated": content[:-9], "altered": content[:-1] + b"x", "empty": b"", "page": b"<html>Log in</html>"}
    file.write_bytes(damaged[damage])
    with pytest.raises(UserError, match=r"t10k-images.*its checksum is not the published one"):
        datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path)
    assert not (tmp_path / "data").exists()
    assert not list((tmp_path / ".cache" / "downloads").rglob("t10k*"))


def test_a_damaged_download_is_fetched_again(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_MIRROR", str(small))
    first = datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path)
    for file in (tmp_path / ".cache" / "downloads").rglob("*.gz"):
        file.write_bytes(b"cut")
    assert datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path) == first


@pytest.mark.skipif(
    not Path(os.environ.get("DATA_MIRROR", "nowhere"), "mnist").is_dir(),
    reason="DATA_MIRROR names no folder with MNIST",
)
def test_the_real_mnist(tmp_path: Path) -> None:
    prepared = datasets.prepare(mnist.MNIST(), tmp_path / "data", tmp_path)
    assert prepared.examples == {"train": 55_000, "val": 5_000, "test": 10_000}
    counts = {
        name: datasets.read(tmp_path / "data", name).y.bincount(minlength=10) for name in ("train", "val", "test")
    }
    published = [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]  # how often each digit occurs in the published training set
    assert (counts["train"] + counts["val"]).tolist() == published
    assert counts["test"].tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
