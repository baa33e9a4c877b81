import json

import pytest

from pipeline.runs.run import Run
from tests.helpers.project import load

TASKS = list(load().tasks)


@pytest.mark.parametrize("examples", [None, 50_000])
@pytest.mark.parametrize("task", TASKS)
def test_every_run_survives_json(task: str, examples: int | None) -> None:
    params = load(task=task, optimizer=list(load().optimizers), seeds=2)
    for run in params.runs(examples):
        text = json.dumps(run.model_dump(mode="json", by_alias=True))
        again = Run.model_validate(json.loads(text))
        assert again == run
        assert type(again.schedule) is type(run.schedule)
        assert again.flat() == run.flat()


@pytest.mark.parametrize("written", ["100%", 40, "33.333333333333336%", "12.5%", "0.1%"])
def test_a_horizon_keeps_its_notation(written: str | int) -> None:
    run = load(scheduler="cosine", seeds=1, schedulers__cosine__T_max=written).runs()[0]
    assert run.model_dump(mode="json", by_alias=True)["schedule"]["T_max"] == written


def test_a_user_model_survives_json() -> None:
    model = {"name": "my_package.networks:build", "width": 7, "widths": [1, 2.5, None], "nested": {"a": True}}
    run = load(**{"tasks__digits-mlp__model": model}, seeds=1).runs()[0]
    assert Run.model_validate(json.loads(run.model_dump_json(by_alias=True))) == run
    assert run.workload.model.model_dump() == model


def test_resolved_settings_are_json_and_leave_out_the_names() -> None:
    run = load(scheduler="chained", seeds=1).runs(1437)[0]
    resolved = run.resolved()
    assert json.loads(json.dumps(resolved)) == resolved
    assert not {"name", "group", "task", "scheduler", "dataset", "batches"} & set(resolved)
    assert resolved["optimizer"] == run.workload.optimizer.resolve()
    renamed = run.model_copy(update={"name": "x", "group": "x", "task": "x", "scheduler": "x", "optimizer": "x"})
    assert renamed.resolved() == resolved
    assert resolved["schedule"]["schedulers"][0] == {
        "class": "ConstantLR",
        "interval": "epoch",
        "factor": 0.1,
        "total_iters": 4,
    }


def test_lengths_in_batches_depend_on_the_number_of_examples() -> None:
    params = load(scheduler="onecycle", seeds=1)
    assert [params.runs(examples)[0].flat()["scheduler.total_steps"] for examples in (None, 320, 321)] == [40, 400, 440]
    assert [params.runs(examples)[0].batches for examples in (None, 320, 321)] == [1, 10, 11]


def test_flat_names_every_setting() -> None:
    flat = load(scheduler="sequential", seeds=1).runs()[0].flat()
    assert flat["model"] == "mlp"
    assert flat["model.hidden"] == [64, 32]
    assert flat["scheduler"] == "sequential"
    assert flat["scheduler.schedulers.1.class"] == "ExponentialLR"
    assert flat["scheduler.milestones"] == [20]
    assert flat["optimizer"] == "sgd"
    assert flat["optimizer.momentum"] == 0.9
    assert {"lr", "seed", "epochs", "batch_size", "loss", "dataset", "task"} <= set(flat)
