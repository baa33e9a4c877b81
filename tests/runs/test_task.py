from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.runs.values import is_rate
from tests.helpers.project import load

TEXT = {"name": "text-file", "path": "a.txt", "context": 8}
GPT = {"name": "gpt", "layers": 1, "heads": 2, "width": 8}


@pytest.mark.parametrize(
    ("task", "changes", "says"),
    [
        ("digits-mlp", {"dataset": "imdb"}, "model mlp takes images or numbers, but imdb has texts"),
        ("digits-mlp", {"loss": "squared-error"}, "loss squared-error does not fit digits; allowed: cross-entropy"),
        ("square-mlp", {"loss": "nll"}, "loss nll does not fit square; allowed: squared-error"),
        ("square-mlp", {"loss": "mean-squared-error"}, "loss mean-squared-error does not fit square; allowed: squared"),
        (
            "square-mlp",
            {"dataset": {"name": "table", "path": "a.csv", "target": "y"}},
            "loss squared-error does not fit",
        ),
        ("digits-mlp", {"loss": "nll"}, "loss nll does not fit model mlp: nll takes log-probabilities"),
        ("mnist-cnn", {"loss": "cross-entropy"}, "loss cross-entropy does not fit model cnn"),
        ("digits-mlp", {"dataset": TEXT}, "model mlp takes images or numbers, but text-file has tokens"),
        ("digits-mlp", {"model": GPT}, "model gpt takes tokens, but digits has images"),
        ("imdb-gpt", {"loss": "cross-entropy"}, "loss cross-entropy does not fit imdb-text; allowed: next-token"),
        ("imdb-gpt", {"max_length": 5}, "max_length is for texts only"),
        ("imdb-gpt", {"model": GPT | {"heads": 3}}, r"model: 3 heads do not divide a width of 8"),
        ("imdb-gpt", {"dataset": TEXT | {"tokens": "bpe"}}, "dataset: vocabulary_size is missing"),
        ("imdb-gpt", {"dataset": TEXT | {"vocabulary_size": 300}}, "dataset: vocabulary_size is for tokens: bpe only"),
        ("imdb-gpt", {"dataset": TEXT | {"tokens": "words"}}, "unknown 'words'; allowed: bpe, characters"),
        ("imdb-lstm", {"max_length": None}, "max_length is missing"),
        ("digits-mlp", {"max_length": 5}, "max_length is for texts only"),
        ("square-mlp", {"normalize": {"mean": [0.5], "std": [0.5]}}, "normalize is for images only"),
        ("mnist-cnn", {"normalize": {"mean": [0.5], "std": [0.5, 1]}}, "mean has 1 numbers and std 2"),
    ],
)
def test_settings_that_do_not_fit_together_are_one_line(task: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=f"^params.yaml: tasks.{task}.*{says}"):
        load(task=task, **{f"tasks__{task}__{key}": value for key, value in changes.items()})


def test_a_user_model_may_take_any_data_and_any_loss_of_its_kind() -> None:
    model = {"name": "a.b:build"}
    load(**{"tasks__digits-mlp__model": model, "tasks__digits-mlp__loss": "nll"})
    load(**{"tasks__imdb-lstm__model": model})


@pytest.mark.parametrize(
    ("item", "fits"),
    [(0.1, True), (1, True), (0, False), (-1.0, False), (True, False), ("1", False), (float("inf"), False)],
)
def test_a_rate_is_a_finite_number_above_0(item: Any, fits: bool) -> None:
    assert is_rate(item) == fits
