"""An experiment's note and its view of charts."""

import json

from pipeline.datasets import Summary
from pipeline.tracking import charts
from tests.helpers.project import load


def test_the_note_describes_the_task(summary: Summary) -> None:
    note = charts.note(load().run_task, summary)
    for words in ("**mlp** (hidden [64, 32]", "1,077 train", "10 classes", "base LR 0.15", "batch size 32", ", sgd at"):
        assert words in note


def test_the_note_names_every_optimizer(summary: Summary) -> None:
    task = load(**{"tasks__digits-mlp__optimizer": ["sgd", "adam"]}).run_task
    assert ", sgd and adam at base LR" in charts.note(task, summary)


def test_the_view_has_the_groups_of_one_sweep() -> None:
    view, own = map(json.loads, charts.views("abc", groups=100).values())
    assert own["searchFilter"] == f"{view['searchFilter']} and tags.own_lr = 'true'"
    assert view["searchFilter"] == "tags.kind = 'group' and tags.sweep = 'abc'"
    assert view["groupBy"] is None
    assert [(chart["type"], chart["metricKey"]) for chart in view["compareRunCharts"]] == list(charts.CHARTS)
    (section,) = view["compareRunSections"]
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == {section["uuid"]}


def test_with_more_groups_than_mlflow_loads_the_view_has_those_at_their_own_rate() -> None:
    view, _ = map(json.loads, charts.views("abc", groups=101).values())
    assert view["searchFilter"].endswith(" and tags.own_lr = 'true'")
