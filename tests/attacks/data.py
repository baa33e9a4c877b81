"""Small data sets of every kind; some are at the limits of what is allowed."""

import csv
import io
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

Settings = dict[str, Any]
MLPS: list[Settings] = [
    {"name": "mlp", "hidden": [4]},
    {"name": "mlp", "hidden": [3, 2], "activation": "tanh"},
    {"name": "mlp", "hidden": [1], "output": "relu"},
]
PICTURES: list[Settings] = [
    *MLPS,
    {"name": "lenet", "channels": [1, 2], "hidden": [3]},
    {"name": "cnn", "channels": [2, 1], "hidden": [3], "dropout": 0.5},
    {"name": "cifar-resnet", "depth": 8},
]
CLASSES = ["cross-entropy", "nll", "bce-with-logits"]
NAMES = ["y", "a b", "<b>&", "[red]x[/]", "|", "{{ y }}", "%s", "é\u202e", "'\"", "-1", "`x`", "a,b"]
"""Names to use for columns and classes, because any text is allowed as a name."""


@dataclass(frozen=True)
class Data:
    """The data of a task, with the losses and models that fit the data."""

    kind: str
    dataset: Settings
    losses: list[str]
    models: list[Settings]
    subset: int | None = None
    """The number of training examples to use; None means all."""
    files: dict[str, str] = field(default_factory=dict)
    """Maps the path of each text file in the project to its content."""
    pictures: dict[str, int] = field(default_factory=dict)
    """Maps the path of each picture in the project to its seed for `picture`."""

    def write(self, folder: Path) -> None:
        """Write the text files and pictures into a project's folder."""
        contents = {name: text.encode() for name, text in self.files.items()}
        contents |= {name: picture(number) for name, number in self.pictures.items()}
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


@st.composite
def tables(draw: st.DrawFn) -> Data:
    """A table whose target is a class or a number."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows, target = draw(st.integers(8, 40)), draw(st.sampled_from(NAMES))
    classes = draw(st.sampled_from([0, 0, 2, 3]))
    names = [name for name in NAMES if name != target][: draw(st.integers(1, 3))]
    columns: dict[str, list[str]] = {name: _column(draw, random, rows) for name in names}
    columns["last"] = [str(number) for number in random.normal(size=rows).round(3)]
    if classes:
        words = draw(st.permutations(NAMES))[:classes]
        columns[target] = [words[row % classes] for row in range(rows)]
    else:
        scale = draw(st.sampled_from([1.0, 1.0, 1e-150, 1e-30, 1e9]))
        columns[target] = [repr(scale * float(number)) for number in random.normal(size=rows)]
    dataset: Settings = {"name": "table", "path": "t.csv", "target": target}
    files = {"t.csv": _csv(columns)}
    if not classes and draw(st.booleans()):
        dataset["test_path"] = "one.csv"
        files["one.csv"] = _csv({name: values[:1] for name, values in columns.items()})
    else:
        dataset["test_share"] = draw(st.sampled_from([0.05, 0.2, 0.5]))
    dataset["val_share"] = draw(st.sampled_from([0.05, 0.1, 0.5]))
    losses = {0: ["mean-squared-error"], 2: [CLASSES[0], CLASSES[0], CLASSES[2]], 3: CLASSES[:1]}[classes]
    return Data("number", dataset, losses, MLPS, files=files)


def _column(draw: st.DrawFn, random: np.random.Generator, rows: int) -> list[str]:
    kind = draw(st.sampled_from(["numbers", "same", "missing", "words", "truth", "large"]))
    numbers = random.normal(size=rows)
    match kind:
        case "numbers":
            return [repr(float(number)) for number in numbers]
        case "same":
            return ["3"] * rows
        case "missing":
            return ["" if number > 0 else f"{number:.3f}" for number in numbers]
        case "words":
            return [NAMES[int(abs(10 * number)) % len(NAMES)] for number in numbers]
        case "truth":
            return [str(number > 0) for number in numbers]
    return [repr(1e29 * float(number)) for number in numbers]


def _csv(columns: dict[str, list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


digits = st.sampled_from([1, 3, 20, 40]).map(
    lambda subset: Data("image", {"name": "digits"}, CLASSES[:1], PICTURES[:3], subset)
)
square = st.just(Data("number", {"name": "square"}, ["squared-error"], MLPS))


@cache
def picture(number: int) -> bytes:
    """Return a PNG image of noise; ``number`` is the seed."""
    stream = io.BytesIO()
    noise = np.random.default_rng(number).integers(256, size=(20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


@st.composite
def pictures(draw: st.DrawFn) -> Data:
    """A folder of pictures in two or three classes."""
    classes, of_each = draw(st.integers(2, 3)), draw(st.integers(4, 8))
    numbers = {f"pictures/c{kind}/{n}.png": 10 * kind + n for kind in range(classes) for n in range(of_each)}
    dataset = {"name": "image-folder", "path": "pictures", "channels": draw(st.sampled_from([1, 3]))}
    dataset["val_share"] = dataset["test_share"] = draw(st.sampled_from([0.25, 0.4]))
    if draw(st.booleans()):
        dataset["size"] = draw(st.sampled_from([[16, 16], [20, 18], [1, 1]]))
    return Data("image", dataset, CLASSES if classes == 2 else CLASSES[:2], PICTURES, pictures=numbers)


@st.composite
def texts(draw: st.DrawFn) -> Data:
    """A folder of texts in two classes."""
    words = draw(st.lists(st.sampled_from(["good", "bad", "", "ok ok", "[x]", "<br />"]), min_size=8, max_size=16))
    files = {f"texts/{('neg', 'pos')[n % 2]}/{n}.txt": f"{word} {n % 3}" for n, word in enumerate(words)}
    dataset = {"name": "text-folder", "path": "texts", "val_share": 0.3, "test_share": 0.3}
    dataset["vocabulary_size"] = draw(st.sampled_from([1, 5, 100]))
    models: list[Settings] = [{"name": "lstm", "embedding": 2, "hidden": 2, "layers": 1}]
    return Data("text", dataset, [CLASSES[0], CLASSES[2]], models, files=files)


@st.composite
def language(draw: st.DrawFn) -> Data:
    """A short text for a language model."""
    alphabet = draw(st.sampled_from(["ab", "a", "abc \n", "aé\u4e2d\U0001f600"]))
    length, context = draw(st.integers(30, 150)), draw(st.sampled_from([1, 2, 5]))
    text = "".join(np.random.default_rng(length).choice([*alphabet], length))
    dataset = {"name": "text-file", "path": "t.txt", "context": context, "val_share": 0.2, "test_share": 0.2}
    models: list[Settings] = [{"name": "gpt", "layers": 1, "heads": 1, "width": 2}]
    return Data("tokens", dataset, ["next-token"], models, files={"t.txt": text})


data = st.one_of(tables(), tables(), digits, square, pictures(), texts(), language())
"""Data of any kind."""
