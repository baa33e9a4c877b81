import ast
import inspect
import json
from collections import Counter
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from pipeline.schedules import REGISTRY, Schedule
from pipeline.schedules.schedule_table import formula, source
from tests.helpers.project import SCHEDULERS, load
from tests.schedules.common import optimizer, schedule


def test_every_class_of_torch_is_used() -> None:
    used = {each.class_ for each in load().schedulers.values()}
    assert set(lr_scheduler.__all__) - {"LRScheduler"} <= used


def test_every_class_is_used_and_registered_under_its_name() -> None:
    assert set(REGISTRY) == {each.class_ for each in load().schedulers.values()}
    for name, kind in REGISTRY.items():
        assert kind.__name__ == name


@pytest.mark.parametrize("name", REGISTRY)
def test_every_schedule_has_a_formula_and_a_source(name: str) -> None:
    schedule = REGISTRY[name].model_construct()
    assert schedule.__doc__ != Schedule.__doc__
    assert formula(schedule)
    assert "Source" not in formula(schedule)
    assert source(schedule) or name == "Constant"


@pytest.mark.parametrize("kind", REGISTRY.values(), ids=REGISTRY)
def test_every_setting_has_a_docstring(kind: type[Schedule]) -> None:
    documented = set()
    for base in kind.__mro__:
        if issubclass(base, Schedule):
            (tree,) = ast.parse(inspect.getsource(base)).body
            assert isinstance(tree, ast.ClassDef)
            for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
                if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.dump(node.annotation):
                    assert isinstance(after, ast.Expr), f"{base.__name__}.{ast.unparse(node.target)}"
                    assert isinstance(after.value, ast.Constant)
                    assert isinstance(after.value.value, str)
                    documented.add(ast.unparse(node.target))
    assert documented == set(kind.model_fields)


def test_a_length_in_optimizer_steps_is_converted_by_interval() -> None:
    assert schedule("cosine", T_max="100 steps", interval="batch").resolve(0.1, 40, 34)["T_max"] == 100
    assert schedule("multistep", milestones=["68 steps", "340 steps"]).resolve(0.1, 40, 34)["milestones"] == [2, 10]
    parts = [{"class": "ConstantLR", "total_iters": "100 steps"}, {"class": "ExponentialLR", "end_factor": 0.1}]
    whole = schedule("chained", schedulers=parts, interval="batch")
    assert whole.resolve(0.1, 40, 34)["schedulers"][0]["total_iters"] == 100
    assert whole.in_optimizer_steps
    assert not schedule("cosine", T_max=100).in_optimizer_steps


def test_a_length_in_epochs_counts_batches_if_the_scheduler_is_stepped_per_batch() -> None:
    assert schedule("cosine", T_max=30).resolve(0.1, 40, 34)["T_max"] == 30
    assert schedule("cosine", T_max=30, interval="batch").resolve(0.1, 40, 34)["T_max"] == 30 * 34
    assert schedule("wsd", warmup="5%").resolve(0.1, 10, 34)["warmup"] == 1  # half an epoch is rounded up
    assert schedule("wsd", warmup="5%", interval="batch").resolve(0.1, 10, 34)["warmup"] == 17


@pytest.mark.parametrize("stop", [1, 13, 40, 79])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_state_dicts_restore_a_schedule_exactly(name: str, stop: int) -> None:
    """Stops are at the end of an epoch or within one; states have only plain values, so no pickle is needed."""
    epochs, batches = 20, 4
    of = schedule(name)

    def trained(steps: range, used: torch.optim.SGD, scheduler: Any) -> list[float]:
        found = []
        for step in steps:
            found.append(scheduler.get_last_lr()[0])
            used.step()
            if of.interval == "batch":
                scheduler.step()
            if step % batches == batches - 1:
                of.step_epoch(scheduler, val_loss=1.0)
        return found

    used = optimizer()
    scheduler = of.build(used, epochs, batches)
    trained(range(stop), used, scheduler)
    saved = json.dumps([used.state_dict()["param_groups"], scheduler.state_dict()], default=dict)
    rest = trained(range(stop, epochs * batches), used, scheduler)

    groups, state = json.loads(saved)
    resumed = optimizer()
    scheduler = of.build(resumed, epochs, batches)
    if "milestones" in state:  # a Counter, whose keys become strings in JSON
        state["milestones"] = Counter({int(key): n for key, n in state["milestones"].items()})
    resumed.load_state_dict({"state": {}, "param_groups": groups})
    scheduler.load_state_dict(state)
    assert trained(range(stop, epochs * batches), resumed, scheduler) == rest
