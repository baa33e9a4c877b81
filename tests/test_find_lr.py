"""`find-lr` on the real digits, and the warnings that `train` and the report give after a range test."""

import re
import shutil
from pathlib import Path

import pytest

from pipeline.runs import params, records
from pipeline.stages import common
from tests.helpers.assertions import assert_drawn, assert_refused, tree
from tests.helpers.commands import Command
from tests.helpers.project import edit

WARNING = "warning: At a base LR of {} (cosine), sgd {}"


def test_find_lr_writes_only_a_plot(pipeline: Command, project: Path) -> None:
    shutil.rmtree(project / ".cache")
    before = tree(project)
    done = pipeline("find-lr")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("drawn in results/find_lr.png\n")
    new = {name for name in set(tree(project)) - set(before) if "__pycache__" not in name}
    assert new == {str(project / "results"), str(project / "results" / "find_lr.png")}
    assert not (project / ".cache").exists()
    assert_drawn(project / "results" / "find_lr.png")
    (grid,) = re.findall(r"^  uv run dvc exp run -S 'lr=\[(.+)\]'$", done.stdout, re.MULTILINE)
    (row,) = re.findall(r"^ +sgd +(\S+) +(\S+) +(\S+) *$", done.stdout, re.MULTILINE)
    steepest, last_stable, suggestion = map(float, row)
    assert steepest < suggestion < last_stable
    assert [*map(float, grid.split(","))][1] == suggestion
    # On this task, runs train well at rates from 0.05 to 0.2, and die at 0.6 and above.
    assert 0.2 < last_stable < 0.6
    assert 0.05 <= suggestion <= 0.2


def test_another_optimizer_can_be_tested(pipeline: Command, project: Path) -> None:
    done = pipeline("find-lr", "--optimizer", "adam", "--seeds", "1", "--png", "found.svg")
    assert done.returncode == 0, done.stderr
    assert "uv run dvc exp run -S optimizer=adam -S 'lr=[" in done.stdout
    assert "warning: At a base LR of 0.15" in done.stdout  # this base LR was meant for SGD
    assert (project / "found.svg").exists()
    assert not (project / "results").exists()


def test_an_optimizer_that_ignores_the_rate_is_refused(pipeline: Command, project: Path) -> None:
    text = (project / "params.yaml").read_text()
    text = text.replace("\noptimizers:\n", "\noptimizers:\n  signs: {class: Rprop}\n")
    (project / "params.yaml").write_text(text)
    says = "optimizer signs: Rprop uses the rate only for its first step; test another"
    assert_refused(pipeline, project, "find-lr", "--optimizer", "signs", says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--task", "digits"], "task: unknown 'digits'; did you mean 'digits-mlp'?"),
        (["--optimizer", "sdg"], "optimizer: unknown 'sdg'; did you mean 'sgd'?"),
        (["--png", "found.jpg"], "--png found.jpg: the name must end in .png or .svg"),
        (["--task", "mnist-mlp"], "is trained on mnist; run `uv run pipeline download`, with `task: mnist-mlp`"),
    ],
)
def test_a_mistake_is_one_line(pipeline: Command, project: Path, options: list[str], says: str) -> None:
    assert_refused(pipeline, project, "find-lr", *options, says=says)


def test_missing_data_are_one_line(pipeline: Command, project: Path) -> None:
    shutil.rmtree(project / "data")
    assert_refused(pipeline, project, "find-lr", says="run `uv run pipeline download` first")


def stable() -> dict[str, records.Stable]:
    return records.read_sweep(common.MODELS).stable


@pytest.mark.slow
def test_train_and_the_report_warn_of_a_rate_that_is_too_high(pipeline: Command, project: Path) -> None:
    edit(project, scheduler="[constant,cosine]", seeds=1, lr=1.0, **{"tasks__digits-mlp__epochs": 3})
    out = pipeline("train").stdout
    (line,) = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: At a base LR of 1 (constant and cosine), sgd is not stable")
    assert out.index(line) < out.index("trained 2 runs")
    (found,) = stable().values()
    assert found.high is not None
    assert found.low < 0.05 < 0.2 < found.high < 0.6
    said = line.removeprefix("warning: ")
    out = pipeline("evaluate").stdout
    assert f"First, though: {said}" in out
    assert out.count("dvc exp run -S 'lr=") == 1
    assert f"> First, though: {said}" in (project / "results" / "report.md").read_text()


def test_train_warns_of_a_rate_far_too_low(pipeline: Command, project: Path) -> None:
    edit(project, scheduler="cosine", baseline="cosine", seeds=1, lr=1e-5, **{"tasks__digits-mlp__epochs": 2})
    assert WARNING.format("1e-05", "is too slow for a run of this length") in pipeline("train").stdout


def test_the_base_rates_of_the_task_are_stable(pipeline: Command, project: Path) -> None:
    rates = [0.05, 0.1, 0.2]
    edit(project, scheduler="cosine", seeds=1, **{"tasks__digits-mlp__epochs": 12, "tasks__digits-mlp__lr": rates})
    assert "warning" not in pipeline("train").stdout
    assert all(stable()["sgd"].holds(rate) for rate in rates)


def test_a_short_sweep_of_large_networks_has_no_range_test(pipeline: Command, project: Path) -> None:
    changes = {"tasks__digits-mlp__model": "{name: mlp, hidden: [1024, 512], activation: relu, output: linear}"}
    edit(project, scheduler="cosine", seeds=1, lr=1.0, **{"tasks__digits-mlp__epochs": 1}, **changes)
    assert "warning" not in pipeline("train").stdout
    assert stable() == {}
    assert params.load().runs()
