from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.datasets import AnyDataset
from pipeline.errors import UserError
from tests.helpers.project import load


def test_a_data_set_may_be_just_a_name() -> None:
    adapter: TypeAdapter[AnyDataset] = TypeAdapter(AnyDataset)
    assert adapter.validate_python("imdb") == adapter.validate_python({"name": "imdb"})
    assert adapter.validate_python("imdb").resolve() == {"name": "imdb", "vocabulary_size": 25_000, "vectors": None}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"path": "a.xlsx"}, "'a.xlsx' is not the name of a table; allowed: names that end in .csv, .csv.gz, .tsv"),
        ({"test_path": "folder"}, "'folder' is not the name of a table"),
        ({"drop": ["id", "y"]}, "drop leaves out the target, 'y'"),
        ({"targt": "y"}, "unknown setting 'targt'; did you mean 'target'?"),
    ],
)
def test_mistakes_in_a_tables_settings_are_one_line(changes: dict[str, Any], says: str) -> None:
    dataset = {"name": "table", "path": "a.csv", "target": "y"} | changes
    with pytest.raises(UserError, match=f"^params.yaml: tasks.square-mlp.*{says}") as raised:
        load(task="square-mlp", **{"tasks__square-mlp__dataset": dataset})
    assert "\n" not in str(raised.value)
