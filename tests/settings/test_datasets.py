from importlib import import_module

import pytest
from pydantic import TypeAdapter

from pipeline.settings import AnyDataset
from pipeline.settings.datasets import DATASETS


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_a_module_that_loads_it(name: str) -> None:
    assert callable(import_module(f"pipeline.data.{name.replace('-', '_')}").load)


def test_a_name_alone_is_enough() -> None:
    adapter: TypeAdapter[AnyDataset] = TypeAdapter(AnyDataset)
    assert adapter.validate_python("imdb") == adapter.validate_python({"name": "imdb"})
    assert adapter.validate_python("imdb").resolve() == {"name": "imdb", "vocabulary_size": 25_000, "vectors": None}
