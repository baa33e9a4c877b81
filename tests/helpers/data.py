"""Tiny data of each kind that users may have: pictures, texts, a table, a text for a language model."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

COLOURS = {"blue": (0, 0, 250), "green": (0, 240, 0), "red": (230, 0, 0)}
TEXT = "".join(f"{number} green bottles hang on the wall,\n" for number in range(100, 200))
"""A text to train a language model on."""
TEXT_FILE: dict[str, Any] = {"path": "t.txt", "context": 16, "test_share": 0.2}
"""Settings of the data set `text-file` that fit `TEXT`."""


def draw_pictures(folder: Path, count: int = 10, size: tuple[int, int] = (12, 9), kind: str = "png") -> None:
    """Draw pictures of ``size`` (width, height) in three classes; all pictures of a class have the same colour."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", size, colour).save(folder / name / f"{number}.{kind}")


def write_texts(folder: Path, count: int = 10) -> None:
    """Write texts in two classes; the texts of each class contain a word that the other class lacks."""
    for name in ("bad", "good"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.txt").write_text(f"A {name} day, the {number}th: naïve?")


def archive(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    """Return a tar archive; ``members`` maps names of files to contents, and ``mode`` is passed to `tarfile.open`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def people(rows: int = 60) -> pd.DataFrame:
    """Return a table with integers, fractions, texts, booleans, missing values, a constant column and two targets."""
    random = np.random.default_rng(1)
    age = random.integers(20, 80, rows)
    return pd.DataFrame(
        {
            "id": range(rows),
            "age": age,
            "income": np.where(random.random(rows) < 0.2, np.nan, random.lognormal(10, 1, rows).round(2)),
            "town": pd.Series(random.choice(["Bern", "Genève", "Chur"], rows)).mask(np.arange(rows) % 9 == 0),
            "member": random.random(rows) < 0.5,
            "planet": "Earth",
            "spent": (3.0 * age + random.normal(0, 5, rows)).round(3),
            "buys": np.where(age + random.normal(0, 5, rows) > 50, "yes", "no"),
        }
    )
