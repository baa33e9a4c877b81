"""The user's own tables: how columns and targets are encoded, splits, and one-line errors."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import datasets
from pipeline.datasets.store import ENCODING
from pipeline.datasets.table import Table
from pipeline.errors import UserError
from tests.helpers.commands import Command
from tests.helpers.data import people
from tests.helpers.project import edit

ROWS = 60
RANDOM = np.random.default_rng(0)


def prepare(folder: Path, table: pd.DataFrame | bytes | str, **changes: Any) -> tuple[datasets.Summary, list[str]]:
    """Write a table to a file and prepare it; return the summary and the messages."""
    dataset = Table(**{"path": "t.csv", "target": "buys"} | changes)
    write(folder / dataset.path, table)
    told: list[str] = []
    summary = datasets.prepare(dataset, folder / "data", folder, told.append)
    return summary, told


def write(path: Path, table: pd.DataFrame | bytes | str) -> None:
    if isinstance(table, pd.DataFrame):
        if path.suffix == ".parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    else:
        path.write_bytes(table.encode() if isinstance(table, str) else table)


def splits(folder: Path) -> dict[datasets.store.Name, datasets.Split]:
    return {name: datasets.read(folder / "data", name) for name in ("train", "val", "test")}


def test_the_training_split_decides_how_columns_become_numbers(tmp_path: Path) -> None:
    """Numbers are standardised with the mean and deviation of the training rows; texts become one-hot columns."""
    table = people()
    summary, told = prepare(tmp_path, table, drop=["spent"])
    assert (summary.kind, summary.classes) == ("number", ["no", "yes"])
    assert summary.examples == {"train": 43, "val": 5, "test": 12}
    assert summary.input_shape == [
        1 + 1 + 2 + 4 + 2
    ]  # id, age, income, missing income, three towns, missing town, member
    found = splits(tmp_path)
    rows = {}
    ids = table["id"].to_numpy(float)
    # The id tells which row became which example.
    encoding = datasets.encoding(tmp_path / "data")
    assert encoding is not None
    number = encoding.columns[0]
    assert number.kind == "number"
    for name, split in found.items():
        rows[name] = np.rint(split.x[:, 0].double().numpy() * number.deviation + number.mean).astype(int)
    assert sorted(np.concatenate([*rows.values()])) == ids.tolist()
    train = table.iloc[rows["train"]]
    for name, split in found.items():
        those = table.iloc[rows[name]]
        expected = [(those[key] - train[key].mean()) / train[key].std(ddof=0) for key in ("id", "age", "income")]
        expected[2] = expected[2].fillna(0)
        expected += [those["income"].isna(), *(those["town"] == town for town in ("Bern", "Chur", "Genève"))]
        expected += [those["town"].isna(), ~those["member"], those["member"]]
        assert split.x.numpy() == pytest.approx(np.column_stack(expected).astype(float), abs=1e-5)
        assert split.y.tolist() == (those["buys"] == "yes").astype(int).tolist()
    assert told == [
        "target 'buys': texts with 2 different values, so these are classes: no, yes",
        f"columns with missing values: 'income' ({table['income'].isna().sum()}), 'town' (7)",
        "one-hot columns: 'town' (4), 'member' (2)",
        "left out, because all training rows have the same value: 'planet'",
    ]


def test_other_splits_do_not_change_the_training_split(tmp_path: Path) -> None:
    table = people()
    prepare(tmp_path, table)
    before, encoding = splits(tmp_path), datasets.encoding(tmp_path / "data")
    assert encoding is not None
    number = encoding.columns[0]
    assert number.kind == "number"
    others = [row for name in ("val", "test") for row in before[name].x[:, 0].double() * number.deviation + number.mean]
    rows = np.rint(others).astype(int)
    table.loc[rows, ["age", "income", "spent"]] *= 1000
    table.loc[rows, "town"] = "Paris"
    prepare(tmp_path, table)
    after = splits(tmp_path)
    assert (after["train"].x == before["train"].x).all()
    assert (after["test"].x[:, 5:8] == 0).all()  # this town does not occur in the training split


def test_a_regression_is_standardised_and_stratified(tmp_path: Path) -> None:
    table = people(400)
    summary, told = prepare(tmp_path, table, target="spent", drop=["id", "buys"])
    assert summary.classes == []
    assert told[0].endswith("so this is a regression")
    found = splits(tmp_path)
    y = {name: split.y.double().numpy() for name, split in found.items()}
    assert y["train"].mean() == pytest.approx(0, abs=1e-6)
    assert y["train"].std() == pytest.approx(1, abs=1e-6)
    tenths = np.quantile(np.concatenate([*y.values()]), np.linspace(0, 1, 11)[1:-1])
    for values in y.values():
        counts = np.bincount(np.searchsorted(tenths, values), minlength=10)
        assert counts.max() - counts.min() <= 2  # a split has about as many values in every tenth
    assert summary.target is not None
    assert summary.target.test_variance == pytest.approx(summary.target.deviation**2 * y["test"].var())
    assert datasets.summary(tmp_path / "data") == summary


def test_r2_and_rmse_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import r2_score, root_mean_squared_error

    random = np.random.default_rng(0)
    y, deviation = random.normal(50, 20, 90), 17.0
    target = datasets.Target("y", deviation, float(y.var()))
    answers = [y + random.normal(0, size, 90) for size in (3, 8)]
    found = target.figures([float((((answer - y) / deviation) ** 2).mean()) for answer in answers])
    assert found["r2"] == pytest.approx(np.mean([r2_score(y, answer) for answer in answers]))
    assert found["rmse"] == pytest.approx(np.mean([root_mean_squared_error(y, answer) for answer in answers]))
    assert np.isnan(datasets.Target("y", deviation, 0.0).figures([0.5])["r2"])


def test_every_format_holds_the_same_table(tmp_path: Path) -> None:
    found = [prepare(tmp_path, people(), path=name)[0] for name in ("t.csv", "t.csv", "t.csv.gz", "t.tsv", "t.parquet")]
    assert len({summary.digest for summary in found}) == 1


def test_the_digest_covers_the_encoding(tmp_path: Path) -> None:
    """Other units or a renamed column would yield the same weights, but a different published model."""
    table = people()
    settings: dict[str, Any] = {"target": "spent", "drop": ["buys"]}
    first, _ = prepare(tmp_path, table, **settings)
    other, _ = prepare(tmp_path, table.rename(columns={"age": "years"}), **settings)
    units, _ = prepare(tmp_path, table.assign(spent=table["spent"] * 1024), **settings)
    assert len({each.digests["train"] for each in (first, other, units)}) == 3
    assert len({each.digests["test"] for each in (first, other, units)}) == 1


def test_a_published_test_file(tmp_path: Path) -> None:
    test = people().iloc[:20].assign(town="Paris", income=np.nan)
    test.loc[0, "buys"] = None
    write(tmp_path / "test.csv", test)
    summary, told = prepare(tmp_path, people(), test_path="test.csv", drop=["spent"])
    assert summary.examples == {"train": 54, "val": 6, "test": 19}
    assert told[1] == "test.csv: left out 1 row without a target ('buys')"
    assert (splits(tmp_path)["test"].x[:, 4:7] == 0).all()


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([3, 1, 1, 3, 2] * 12, ["1", "2", "3"]),
        ([True, False] * 30, ["False", "True"]),
        ([1.0, 2.0, None] * 20, ["1", "2"]),
        (range(60), []),
        ([0.5, 1.0] * 30, []),
        (pd.Categorical(["b", "a"] * 30), ["a", "b"]),
        ([Decimal("0.1"), Decimal("0.25")] * 30, []),
    ],
)
def test_the_target_decides_whether_there_are_classes(tmp_path: Path, values: Any, classes: list[str]) -> None:
    table = pd.DataFrame({"x": RANDOM.normal(size=60), "y": values})
    assert prepare(tmp_path, table, path="t.parquet", target="y")[0].classes == classes


def changed(**columns: Any) -> pd.DataFrame:
    return people().assign(**columns)


FEW = ["a", "b"] + ["c"] * 58


@pytest.mark.parametrize(
    ("table", "changes", "says"),
    [
        (people(), {"target": "buy"}, "t.csv: has no column 'buy', which target names; did you mean 'buys'?"),
        (people(), {"drop": ["planett"]}, "t.csv: has no column 'planett', which drop names; did you mean 'planet'?"),
        ("a;b;buys\n1;2;3\n", {}, "its header is one column, 'a;b;buys'; commas must separate columns"),
        ("a,a,buys\n1,2,3\n", {}, "t.csv: two columns have the name 'a'"),
        (
            ",a,buys\n0,2,3\n",
            {},
            "t.csv: column 1 has no name; if it is an index that pandas wrote, write the file with",
        ),
        ("a,buys\n", {}, "t.csv: no rows below the header"),
        ("", {}, "t.csv: empty; a table must begin with a header"),
        ("a,buys\n1,2\n3,4,5\n", {}, r"t.csv: cannot be read as a table \(.*Expected 2 fields in line 3, saw 3"),
        ("a,buys\n1,2,3\n", {}, "t.csv: its rows have more fields than its header"),
        ("näme,buys\nx,1\n".encode("latin-1"), {}, "t.csv: not UTF-8"),
        (b"PAR1, but not really", {"path": "t.parquet"}, r"t.parquet: cannot be read as a table \("),
        (b"no archive", {"path": "t.csv.gz"}, r"t.csv.gz: cannot be read as a table \("),
        (people()[["buys"]], {}, "t.csv: has no column to predict the target 'buys' from"),
        (people()[["planet", "buys"]], {}, "t.csv: in the training rows, no column but the target 'buys' varies"),
        (changed(buys=None), {}, r"t.csv: no row has a target \('buys'\)"),
        (changed(buys="no"), {}, "t.csv: the target 'buys' is 'no' in all rows; two classes are needed"),
        (changed(buys=FEW), {}, r"2 classes of them have fewer than 3 rows: 'a' \(1\), 'b' \(1\)"),
        (
            changed(buys=[f"name {row}" for row in range(ROWS)]),
            {},
            r"60 classes of them have fewer than .* and 55 more",
        ),
        (changed(note=[f"n{row}" for row in range(ROWS)]), {"most": 59}, "has 60 different texts.*drop: .note."),
        (changed(age=np.inf), {}, r"t.csv: column 'age' is infinite or beyond 1e\+30 in 60 rows"),
        (changed(day=date(2020, 1, 1)), {"path": "t.parquet"}, r"'day' holds dates or times; .* drop: \[day\]"),
        (changed(tags=[["a", "b"]] * ROWS), {"path": "t.parquet"}, "'tags' holds values of type"),
        (
            people().assign(y=[row / ROWS * 1e-200 for row in range(ROWS)]),
            {"target": "y"},
            "the target 'y' is the same in all training rows, up to rounding",
        ),
        (people(4), {"target": "id"}, "too few examples|fewer than 3 rows"),
        (
            people(2).assign(y=[0.5, 0.6]),
            {"target": "y"},
            r"t.csv: too few examples \(1\) to set 0.1 aside for val",
        ),
    ],
)
def test_a_bad_table_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Any, changes: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr("pipeline.datasets.columns.MOST_VALUES", changes.pop("most", 100))
    with pytest.raises(UserError, match=says) as raised:
        prepare(tmp_path, table, **changes)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda test: test.drop(columns="age"), "test.csv: has no column 'age', which .*t.csv has"),
        (lambda test: test.drop(columns="buys"), "test.csv: has no column 'buys', which target names"),
        (lambda test: test.assign(age="old"), "column 'age' holds numbers in .*t.csv, but texts in .*test.csv"),
        (lambda test: test.assign(buys="perhaps"), r"1 class of them has fewer than 2 rows: 'perhaps' \(0\)"),
    ],
)
def test_a_test_file_has_the_same_columns(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    write(tmp_path / "test.csv", change(people()))
    with pytest.raises(UserError, match=says):
        prepare(tmp_path, people(), test_path="test.csv")


def test_a_folder_or_nothing_instead_of_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for path, says in (
        ("folder.csv", "folder.csv: a folder; the dataset's path must be a file"),
        ("no.csv", "no such file"),
    ):
        with pytest.raises(UserError, match=says):
            datasets.prepare(Table(path=path, target="y"), tmp_path / "data", tmp_path)


def test_the_loss_must_fit_the_kind_of_target(project: Path, pipeline: Command) -> None:
    write(project / "t.csv", people())
    dataset = "{name: table, path: t.csv, target: %s}"
    edit(project, **{"tasks__digits-mlp__dataset": dataset % "spent"})
    found = pipeline("download")
    assert found.returncode == 2
    assert found.stdout.startswith("target 'spent': numbers with 60 different values, so this is a regression\n")
    says = (
        "tasks.digits-mlp.loss: cross-entropy does not fit t.csv, which has numbers to predict; allowed: mean-squared"
    )
    assert says in found.stderr
    edit(project, **{"tasks__digits-mlp__loss": "mean-squared-error"})
    assert pipeline("download").returncode == 0
    assert (project / "data" / ENCODING).exists()
    edit(project, **{"tasks__digits-mlp__dataset": dataset % "buys"})
    assert "which has 2 classes; allowed: cross-entropy, nll, bce-with-logits" in pipeline("download").stderr
