"""Mutated params.yaml and data files are either read or refused in one line.

Once a week, CI draws thousands of random examples: `FUZZ_EXAMPLES=3000 uv run pytest tests/test_fuzz.py`.
"""

import gzip
import io
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

from pipeline import datasets
from pipeline.datasets import cifar10, fetch, image_folder, imdb, mnist, text
from pipeline.datasets.table import Table
from pipeline.errors import UserError
from pipeline.runs import params
from tests.helpers.data import archive
from tests.helpers.project import ROOT

RANDOM = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""The number of random examples per test; with 0, each test tries the same few examples every time."""
many = settings(
    max_examples=RANDOM or 50,
    deadline=None,
    derandomize=not RANDOM,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# params.yaml
BASE: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key and of every list element."""
    for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(inside, dict | list):
            yield from places(inside, (*path, key))


names = st.sampled_from([*BASE["schedulers"], *BASE["optimizers"], *BASE["tasks"], "all", "CosineAnnealingLR", "x", ""])
numbers = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([0.0, 1e-9, 0.1, 0.5, 1.0, 1e9, -0.1, float("nan"), float("inf"), 10**30]),
    st.floats(),
)
odd = ["30%", "100%", "0%", "-5%", "1e3%", "%", "nan%", "epoch / 0", "__import__"]
texts = st.one_of(st.sampled_from(odd), st.text())
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, names, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(names, texts), inner, max_size=3)),
    max_leaves=4,
)
mutations = st.lists(
    st.tuples(st.sampled_from(list(places(BASE))), st.sampled_from(["replace", "remove", "add"]), values),
    min_size=1,
    max_size=3,
)


def mutated(changes: list[tuple[tuple[Any, ...], str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(BASE))
    for path, how, value in changes:
        place: Any = content
        try:
            for key in path[:-1]:
                place = place[key]
            if how == "remove":
                del place[path[-1]]
            elif how == "add" and isinstance(place, dict):
                place["unheard-of"] = value
            else:
                place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation has removed this place
    return content


def assert_sound(path: Path) -> None:
    """Check that a params.yaml yields either a sweep or a one-line error."""
    try:
        wanted = params.load(path)
        runs = wanted.runs(1077)
    except UserError as error:
        line = str(error)
        assert "\n" not in line
        assert line.startswith("params.yaml") or str(path) in line
    else:
        assert runs
        assert len({run.name for run in runs}) == len(runs)
        assert all(run.flat()["scheduler.class"] for run in runs)


@many
@given(mutations)
def test_mutated_params(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: list[Any]) -> None:
    """This test mutates values; other tests mutate the YAML text."""
    (tmp_path / "params.yaml").write_text("task: x")
    monkeypatch.setattr(params, "parse", lambda text, source: mutated(changes))
    assert_sound(tmp_path / "params.yaml")


SMALL = """\
task: a
scheduler: [cosine, own]
optimizer:
lr: 1e-3
seeds: 2
baseline: cosine
tasks:
  a:
    {dataset: digits, model: {name: mlp, hidden: [4]}, loss: cross-entropy, optimizer: sgd, lr: 0.1, epochs: 3,
    batch_size: 8}
optimizers:
  sgd: {class: SGD, momentum: 0.9}
schedulers:
  cosine: {class: CosineAnnealingLR, T_max: 100%, eta_min: 1e-6}
  own: {class: LambdaLR, lr_lambda: 1 / (1 + step)}
"""
edits = st.lists(
    st.tuples(st.integers(0, len(SMALL)), st.integers(0, 12), st.text("\x00\t\n :-[]{}&*!|>'\"%@`#0aé\ud7ff")),
    min_size=1,
    max_size=4,
)


@many
@given(edits)
def test_mutated_text_of_params(tmp_path: Path, edits: list[tuple[int, int, str]]) -> None:
    text = SMALL
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert_sound(tmp_path / "params.yaml")


@many
@given(st.binary(max_size=60))
def test_any_bytes_as_params(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    assert_sound(tmp_path / "params.yaml")


# data

damages = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8)), min_size=1, max_size=3)


def damaged(content: bytes, where: list[tuple[float, int, bytes]]) -> bytes:
    for share, length, new in where:
        start = int(share * len(content))
        content = content[:start] + new + content[start + length :]
    return content


REFUSALS = (UserError, *fetch.CONTENT_ERRORS)
"""Errors that a reader may raise, because its callers turn them into a one-line error."""


def assert_refused_or_read(read: Any, *arguments: Any) -> None:
    try:
        read(*arguments)
    except REFUSALS as error:
        assert isinstance(str(error), str)


IDX = bytes([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 5]) + bytes(range(100))


@many
@given(damages, st.booleans())
def test_mutated_idx(tmp_path: Path, where: Any, inside: bool) -> None:
    """Data are damaged before or after compression, and the reader gets no checksum that would reveal the damage."""
    content = gzip.compress(damaged(IDX, where)) if inside else damaged(gzip.compress(IDX), where)
    (tmp_path / "x-ubyte.gz").write_bytes(content)
    assert_refused_or_read(mnist._decoded, tmp_path / "x-ubyte.gz")


REVIEWS = archive({f"aclImdb/train/{label}/{n}_3.txt": b"x" * n for label in ("neg", "pos") for n in range(3)}, "w")
PACKED_REVIEWS = archive({f"aclImdb/test/pos/{n}_3.txt": b"y" * n for n in range(3)}, "w:gz")


@many
@given(damages, st.booleans())
def test_mutated_archives(tmp_path: Path, where: Any, packed: bool) -> None:
    (tmp_path / "a.tar").write_bytes(damaged(PACKED_REVIEWS if packed else REVIEWS, where))
    assert_refused_or_read(imdb._read, tmp_path / "a.tar")


BATCH = pickle.dumps({b"data": np.zeros((2, 12), np.uint8), b"labels": [0, 1]}, protocol=2)


@many
@given(damages)
def test_mutated_pickles(where: Any) -> None:
    assert_refused_or_read(cifar10.unpickled, damaged(BATCH, where), "data_batch_1", b"data", b"labels")


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(256, size=(9, 9, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


PICTURES = [picture(kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")]


@many
@given(damages, st.sampled_from(PICTURES))
@pytest.mark.filterwarnings("ignore:::PIL")
def test_mutated_pictures(tmp_path: Path, where: Any, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(damaged(content, where))
    try:
        found = image_folder._picture(tmp_path / "a.png", (4, 4), "RGB")
    except UserError as error:
        assert str(tmp_path / "a.png") in str(error)
        assert "\n" not in str(error)
    else:
        assert found.shape == (4, 4, 3)


@many
@given(st.binary(max_size=40))
def test_any_bytes_as_a_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    try:
        text.read_text(tmp_path / "a.txt")
    except UserError as error:
        assert "not UTF-8" in str(error)


def parquet(text: str) -> bytes:
    stream = io.BytesIO()
    pd.read_csv(io.StringIO(text)).to_parquet(stream)
    return stream.getvalue()


TABLE = "id,size,colour,sold,price\n" + "".join(
    f"{n},{n / 7:.3f},{('red', 'blue', '')[n % 3]},{n % 2 == 0},{('', 'low', 'high')[n % 3]}\n" for n in range(24)
)
PARQUET = parquet(TABLE)


@many
@given(damages, st.sampled_from(["t.csv", "t.parquet"]), st.sampled_from(["size", "price", "sold"]))
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_mutated_tables(tmp_path: Path, where: Any, name: str, target: str) -> None:
    whole = {"t.csv": TABLE.encode(), "t.parquet": PARQUET}[name]
    (tmp_path / name).write_bytes(damaged(whole, where))
    dataset = Table(path=name, target=target, drop=["id"])
    try:
        found = datasets.prepare(dataset, tmp_path / "data", tmp_path)
    except UserError as error:
        assert name in str(error)
        assert "\n" not in str(error)
    else:
        assert all(torch.isfinite(datasets.read(tmp_path / "data", part).x).all() for part in ("train", "val", "test"))
        assert datasets.summary(tmp_path / "data") == found


@many
@given(where=damages, name=st.sampled_from(["train.safetensors", "summary.json"]))
def test_mutated_prepared_data(digits: Path, tmp_path: Path, where: Any, name: str) -> None:
    content = damaged((digits / name).read_bytes()[:20_000], where)
    (tmp_path / "summary.json").write_bytes((digits / "summary.json").read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="uv run pipeline download"):
        datasets.read(tmp_path, "train")
        raise UserError("read, as nothing was changed: uv run pipeline download")
