from pathlib import Path
from typing import Any

from pipeline.sweep.pool import Workers
from pipeline.sweep.schedule_checks import lint_run, lint_sweep
from tests.helpers.commands import Command
from tests.helpers.project import edit, load

BATCHES = 4
COSINE = "CosineAnnealingLR"


def test_workers_find_the_same_warnings_once_per_group() -> None:
    changes = {
        "tasks__digits-mlp__epochs": 5,
        "schedulers__cosine": {"class": COSINE, "interval": "batch", "T_max": 3},
        "schedulers__onecycle__total_steps": 9,
        "schedulers__polynomial__total_iters": 2,
    }
    params = load(scheduler=["cosine", "constant", "onecycle", "polynomial", "plateau"], seeds=3, **changes)
    runs = params.runs(BATCHES * params.run_task.batch_size)
    expected = [line for run in runs if run.seed == 0 for line in lint_run(run)]
    assert [line.partition(":")[0] for line in expected] == ["cosine", "onecycle", "polynomial"]
    with Workers(1, "cpu") as workers:
        assert lint_sweep(workers, runs) == expected


def test_an_optimizer_that_ignores_the_rate_is_a_warning_once() -> None:
    changes: dict[str, Any] = {"optimizers__signs": {"class": "Rprop"}, "optimizer": ["sgd", "signs"]}
    runs = load(scheduler=["constant", "cosine"], seeds=2, **changes).runs()
    with Workers(1, "cpu") as workers:
        assert [line.partition(" so")[0] for line in lint_sweep(workers, runs)] == [
            "signs: Rprop uses the rate only in its first step,"
        ]


def test_a_grid_of_rates_gives_one_warning_per_scheduler() -> None:
    """A cosine that goes down to 0.1 is a mistake only at the last base LR, which is below 0.1."""
    changes = {"schedulers__cosine__eta_min": 0.1, "schedulers__polynomial__total_iters": 2}
    params = load(scheduler=["cosine", "polynomial"], seeds=2, lr=[0.3, 0.15, 0.05], **changes)
    runs = params.runs(BATCHES * params.run_task.batch_size)
    assert len({run.group for run in runs if lint_run(run)}) == 4
    with Workers(1, "cpu") as workers:
        first, second = lint_sweep(workers, runs)
    assert first.startswith("cosine-lr0.05: eta_min is 0.1, above the base LR of 0.05: the LR rises; an eta_min")
    assert second.startswith("polynomial-lr0.3: total_iters is 2 epochs")


def test_train_prints_warnings_before_training(pipeline: Command, project: Path) -> None:
    edit(project, scheduler="cosine", seeds=2, schedulers__cosine__T_max=4, **{"tasks__digits-mlp__epochs": 2})
    done = pipeline("train")
    assert done.returncode == 0, done.stderr
    line = "warning: cosine: T_max is 4 epochs, longer than the run of 2: the run ends before the decay does, at"
    assert done.stdout.count("warning: cosine") == done.stdout.count(line) == 1
    assert done.stdout.index(line) < done.stdout.index("trained 4 runs")
    edit(project, schedulers__cosine__T_max=2)
    assert "warning" not in pipeline("train").stdout


def test_schedules_prints_warnings(pipeline: Command, project: Path) -> None:
    out = pipeline("schedules", "cosine", "--epochs", "200", "--set", "T_max=100", "--png", "curve.png").stdout
    assert (project / "curve.png").exists()
    assert "warning: cosine: T_max is 100 epochs, shorter than the run of 200: the LR is lowest after 100" in out
    # If only a subset of the examples is used, an epoch has fewer batches.
    edit(project, **{"tasks__digits-mlp__train_subset": 100})
    done = pipeline("schedules", "onecycle", "wsd", "--set", "interval=batch")
    assert done.returncode == 0, done.stderr
    assert "total_steps=160" in done.stdout
    assert "warning" not in done.stdout


def test_the_number_of_batches_does_not_matter_if_the_scheduler_is_stepped_per_epoch() -> None:
    """Lint computes only one rate per epoch, so an epoch of 10,000 batches takes no longer than an epoch of one."""
    params = load(scheduler="cosine", seeds=1, schedulers__cosine__T_max=20)
    (few,), (many,) = params.runs(), params.runs(10_000 * params.run_task.batch_size)
    assert lint_run(few) == lint_run(many) != []
    steps = load(scheduler="cosine", seeds=1, schedulers__cosine__T_max="200000 steps")
    assert lint_run(steps.runs(10_000 * params.run_task.batch_size)[0]) == lint_run(many)
