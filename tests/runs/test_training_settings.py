"""Optional settings of training: an unset option leaves no trace, and a mistake is a one-line error."""

from typing import Any

import pytest

from pipeline.errors import UserError
from tests.helpers.project import EVERYTHING, load


def changed(task: str = "digits-mlp", **settings: Any) -> Any:
    changes = {f"tasks__{task}__{key}": value for key, value in settings.items()}
    return load(task=task, scheduler="onecycle", seeds=1, **changes)


def test_an_unset_option_is_no_setting_of_a_run() -> None:
    plain = changed().runs(200)[0]
    neutral = {"label_smoothing": 0, "augment": [], "precision": "float32", "accumulate": 1, "no_decay": []}
    for nothing in (dict.fromkeys(EVERYTHING), neutral):
        run = changed(**nothing).runs(200)[0]
        assert run.resolved() == plain.resolved()
        assert run.flat() == plain.flat()
        assert run.workload.thread_invariant
    assert not {*EVERYTHING} & {*plain.resolved()}


def test_a_set_option_is_a_setting_of_the_run() -> None:
    plain, run = changed().runs(200)[0], changed(**EVERYTHING).runs(200)[0]
    named = [{"name": "RandomVerticalFlip"}, {"name": "RandomCrop", "size": [8, 8], "padding": 1}]
    expected = {**EVERYTHING, "augment": named}
    assert {key: run.resolved()[key] for key in EVERYTHING} == expected
    new = {key: value for key, value in run.flat().items() if key not in plain.flat()}
    assert new.pop("augment.1.size") == [8, 8]
    assert {"clip_grad_norm", "augment.0.name", "augment.1.padding", "no_decay"} < {*new}
    assert type(run).model_validate_json(run.model_dump_json(by_alias=True)) == run


def test_options_that_sum_over_a_whole_matrix_need_one_thread() -> None:
    found = {key: changed(**{key: value}).runs()[0].workload.thread_invariant for key, value in EVERYTHING.items()}
    assert {key for key, allows in found.items() if allows} == {"accumulate", "no_decay"}


def test_set_options_are_described() -> None:
    said = changed(**EVERYTHING).run_task.describe_options()
    assert said[:3] == ["clip_grad_norm 1.0", "label_smoothing 0.1", "augment RandomVerticalFlip + RandomCrop"]
    assert said[3:] == ["precision bfloat16", "accumulate 3", "no_decay bias + norm"]


def test_lengths_count_steps_of_the_optimizer() -> None:
    """Seven batches make three optimizer steps, the last of which has a single batch."""
    run = changed(accumulate=3, epochs=5).runs(200)[0]
    assert run.batches == 3
    assert run.flat()["scheduler.total_steps"] == 15


@pytest.mark.parametrize(
    ("task", "settings", "says"),
    [
        ("digits-mlp", {"clip_grad_norm": 0}, ".clip_grad_norm: 0: input should be greater than 0"),
        ("digits-mlp", {"label_smoothing": 1.0}, ".label_smoothing: 1.0: input should be less than 1"),
        ("digits-mlp", {"precision": "float16"}, ".precision: unknown 'float16'; did you mean 'bfloat16'?"),
        ("digits-mlp", {"accumulate": 0}, ".accumulate: 0: input should be greater than or equal to 1"),
        ("digits-mlp", {"no_decay": ["biases"]}, ".no_decay.0: unknown 'biases'; did you mean 'bias'?"),
        ("mnist-cnn", {"label_smoothing": 0.1}, ": label_smoothing is for loss cross-entropy only, not nll"),
        ("square-mlp", {"augment": ["RandomHorizontalFlip"]}, ": augment is for images only"),
        (
            "digits-mlp",
            {"augment": ["RandomVerticalFlop"]},
            ".augment: unknown 'RandomVerticalFlop'; did you mean 'Ran",
        ),
        (
            "digits-mlp",
            {"augment": ["MixUp"]},
            ".augment: MixUp does not turn one picture into another by itself; allo",
        ),
        ("digits-mlp", {"augment": [{"name": "RandomErasing", "q": 1}]}, ".augment: RandomErasing has no setting 'q'"),
        ("digits-mlp", {"augment": ["RandomCrop"]}, ".augment: RandomCrop needs size"),
        ("digits-mlp", {"augment": [{"name": "RandomErasing", "p": 3}]}, ".augment: RandomErasing: `p` should be"),
        (
            "digits-mlp",
            {"augment": [{"name": "RandomRotation", "degrees": 9, "interpolation": "bilinar"}]},
            ".augment: RandomRotation: interpolation: unknown 'bilinar'; did you mean 'bilinear'?",
        ),
        ("digits-mlp", {"augment": [{"p": 0.5}]}, ".augment.0.name is missing"),
        ("digits-mlp", {"augment": [7]}, ".augment.0: 7 is not the name of a transform, nor a mapping"),
    ],
)
def test_a_mistake_is_one_line(task: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as raised:
        changed(task, **settings)
    assert str(raised.value).startswith(f"params.yaml: tasks.{task}{says}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("optimizer", "named"),
    [({"class": "Rprop"}, "mine (Rprop)"), ({"class": "Muon", "rest": {"class": "Rprop"}}, "the rest of mine (Rprop)")],
)
def test_an_optimizer_without_weight_decay_is_one_line(optimizer: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as raised:
        load(optimizers__mine=optimizer, optimizer="mine", **{"tasks__digits-mlp__no_decay": ["bias"]})
    where = "params.yaml: tasks.digits-mlp.no_decay"
    assert str(raised.value) == f"{where}: needs an optimizer with weight_decay, and {named} has none"
