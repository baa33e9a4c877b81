import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.runs import params
from pipeline.runs.metric import TEST_ACCURACY
from tests.helpers.project import ROOT, SCHEDULERS, load


def names(**changes: Any) -> list[str]:
    return [run.name for run in load(**changes).runs()]


def test_the_default_sweep_is_every_scheduler_with_five_seeds() -> None:
    assert names() == [f"{scheduler}-s{seed}" for scheduler in SCHEDULERS for seed in range(5)]


def test_reading_params_imports_nothing_heavy() -> None:
    """Torchvision, for example, is imported only for its models and for `augment`."""
    script = (
        "import sys; from pipeline.runs import params\n"
        "params.load(changes={'tasks.digits-mlp.model': {'name': 'cifar-resnet', 'depth': 20}})\n"
        "print('HEAVY', {'torch', 'torchvision', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "HEAVY set()\n"


def test_a_sweep_is_a_product() -> None:
    found = names(scheduler=["cosine", "step"], optimizer=["sgd", "adam"], lr=[0.1, 1e-3], seeds=[7, 3])
    assert len(found) == len(set(found)) == 16
    assert found[:5] == ["cosine-sgd-lr0.1-s7", "cosine-sgd-lr0.1-s3", "cosine-sgd-lr0.001-s7", *found[3:5]]
    assert found[4] == "cosine-adam-lr0.1-s7"


def test_base_rates_that_look_alike_have_different_names() -> None:
    found = names(scheduler="cosine", lr=[0.1, 0.10000001], seeds=1)
    assert len(set(found)) == 2


def test_null_means_the_tasks_own_setting() -> None:
    run = load(task="mnist-mlp", scheduler="cosine").runs()[0]
    assert (run.optimizer, run.lr, run.flat()["optimizer.momentum"]) == ("sgd", 0.1, 0.9)


def test_a_task_may_change_a_scheduler_and_its_base_rate() -> None:
    own = {"cosine": {"lr": 0.001, "T_max": 20}}
    changes = {"tasks__digits-mlp__schedulers": own, "scheduler": ["cosine", "step"]}
    cosine, step = (load(**changes, seeds=1).runs()[number] for number in (0, 1))
    assert (cosine.lr, cosine.flat()["scheduler.T_max"], cosine.flat()["scheduler.eta_min"]) == (0.001, 20, 1e-6)
    assert step.lr == 0.15
    assert load(**changes, seeds=1, lr=0.5).runs()[0].lr == 0.5  # a top-level lr overrides the task's


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 6, 7, 10, 33, 2000])
@pytest.mark.parametrize("task", ["digits-mlp", "mnist-mlp"])
def test_every_scheduler_fits_every_number_of_epochs(task: str, epochs: int) -> None:
    for run in load(task=task, seeds=1, **{f"tasks__{task}__epochs": epochs}).runs(examples=500):
        assert run.resolved()["schedule"]["class"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"task": "digit-mlp"}, "task: unknown 'digit-mlp'; did you mean 'digits-mlp'?"),
    ({"task": "digits"}, "task: unknown 'digits'; did you mean 'digits-mlp'?"),
    ({"task": 3}, "task: 3: input should be a valid string"),
    ({"task": None}, "task is empty: input should be a valid string"),
    ({"task": ""}, "task: unknown ''; allowed: "),
    ({"scheduler": "cosin"}, "scheduler: unknown 'cosin'; did you mean 'cosine'?"),
    ({"scheduler": ["cosine", "stepp"]}, "scheduler: unknown 'stepp'; did you mean 'step'?"),
    ({"scheduler": []}, "scheduler: an empty list"),
    ({"scheduler": ["step", "step"]}, "scheduler: 'step' is given twice"),
    ({"scheduler": 3}, "scheduler: 3 is not the name of a scheduler or all"),
    ({"scheduler": None}, "scheduler is empty: must be the name of a scheduler or all, or a list of them"),
    ({"scheduler": [None]}, "scheduler: None is not the name of a scheduler or all, nor a list of them"),
    ({"optimizer": "sdg"}, "optimizer: unknown 'sdg'; did you mean 'sgd'?"),
    ({"optimizers__sgd__class": "SDG"}, "optimizers.sgd.class: unknown 'SDG'; did you mean 'SGD'?"),
    ({"epochs": 5}, "unknown setting 'epochs'; it belongs to a task: tasks.digits-mlp.epochs"),
    ({"optimizers__sgd__momentun": 0.9}, "optimizers.sgd: unknown setting 'momentun'; did you mean 'momentum'?"),
    ({"optimizers__sgd__momentum": 1.5}, "optimizers.sgd.momentum: 1.5: input should be less than 1"),
    ({"optimizers__sgd__momentum": 0.0, "optimizers__sgd__nesterov": True}, "nesterov: true needs a momentum"),
    ({"lr": -1}, "lr: -1 is not a learning rate from 1e-30 to 1e+30"),
    ({"lr": 0}, "lr: 0 is not a learning rate from 1e-30 to 1e+30"),
    ({"lr": 1e31}, "lr: 1e+31 is not a learning rate from 1e-30 to 1e+30"),
    ({"lr": 1e-31}, "lr: 1e-31 is not a learning rate from 1e-30 to 1e+30"),
    ({"lr": float("nan")}, "lr: nan is not a learning rate from 1e-30 to 1e+30"),
    ({"lr": [0.1, "x"]}, "lr: 'x' is not a learning rate from 1e-30 to 1e+30"),
    ({"lr": True}, "lr: True is not a learning rate from 1e-30 to 1e+30"),
    ({"seeds": 0}, "seeds: 0: must be auto, a count from 1 to 10000, or a list of different seeds"),
    ({"seeds": [1, 1]}, "seeds: [1, 1]: must be auto, a count"),
    ({"seeds": "5"}, "seeds: '5': must be auto, a count"),
    ({"tasks__digits-mlp__seeds": None}, "tasks.digits-mlp.seeds is empty: must be auto, a count"),
    ({"margin": 0}, "margin: 0: input should be greater than or equal to 0.000001"),
    ({"budget": 0}, "budget: 0: input should be greater than or equal to 1"),
    (
        {"seeds": "auto", "scheduler": "cosine", "budget": 3},  # constant is added as the baseline
        "budget: 3 runs are fewer than two for each of 2 pairs of scheduler and optimizer; allowed: at least 4",
    ),
    ({"seeds": "auto", "budget": 40}, "two for each of 26 pairs of scheduler and optimizer; allowed: at least 52"),
    ({"baseline": None}, "baseline is empty: input should be a valid string"),
    ({"baseline": "constnt"}, "baseline: unknown 'constnt'; did you mean 'constant'?"),
    ({"tasks__digits-mlp__epochs": 0}, "tasks.digits-mlp.epochs: 0: input should be greater than or equal to 1"),
    ({"tasks__digits-mlp__epochs": 2.5}, "tasks.digits-mlp.epochs: 2.5: input should be a valid integer"),
    ({"tasks__digits-mlp__lr": -0.1}, "tasks.digits-mlp.lr: -0.1 is not a learning rate from 1e-30 to 1e+30"),
    ({"tasks__digits-mlp__dataset": "digit"}, "tasks.digits-mlp.dataset: unknown 'digit'; did you mean 'digits'?"),
    ({"tasks__digits-mlp__dataset": None}, "tasks.digits-mlp.dataset is empty: must be a name, or a mapping"),
    ({"tasks__digits-mlp__dataset": {"name": "imdb", "vocabulary_size": 0}}, "digits-mlp.dataset.vocabulary_size: 0: "),
    ({"tasks__digits-mlp__model": None}, "tasks.digits-mlp.model is empty: must be a name, or a mapping with a name"),
    ({"tasks__digits-mlp__model": {"hidden": [3]}}, "tasks.digits-mlp.model.name is missing"),
    ({"tasks__digits-mlp__model": "mpl"}, "tasks.digits-mlp.model: unknown 'mpl'; did you mean 'mlp'?"),
    ({"tasks__digits-mlp__model": "mlp"}, "tasks.digits-mlp.model.hidden is missing"),
    ({"tasks__digits-mlp__model": ":build"}, "digits-mlp.model.name: ':build' is not a builder; write it as my"),
    ({"tasks__digits-mlp__model__hidden": []}, "tasks.digits-mlp.model.hidden: []"),
    ({"tasks__digits-mlp__loss": None}, "tasks.digits-mlp.loss is empty: allowed: cross-entropy, nll"),
    ({"tasks__digits-mlp__optimizer": None}, "tasks.digits-mlp.optimizer is empty: must be the name of an optimizer"),
    ({"tasks__digits-mlp": None}, "tasks.digits-mlp is empty: must be a mapping"),
    ({"tasks__digits-mlp__schedulers__cosin": {}}, "schedulers: unknown 'cosin'; did you mean 'cosine'?"),
    ({"tasks__digits-mlp__schedulers__cosine": {"Tmax": 3}}, "digits-mlp.schedulers.cosine: unknown setting 'Tmax'"),
    (
        {"tasks__digits-mlp__schedulers__cosine": {"lr": 0}},
        "schedulers.cosine.lr: 0 is not a learning rate from",
    ),
    ({"schedulers__cosine__tmax": 3}, "schedulers.cosine: unknown setting 'tmax'; did you mean 'T_max'?"),
    ({"schedulers__cosine__class": "CosineLR"}, "schedulers.cosine.class: unknown 'CosineLR'; did you mean"),
    ({"schedulers__cosine__T_max": "fast"}, "schedulers.cosine.T_max: 'fast' is not a whole number of epochs"),
    ({"schedulers__cosine__T_max": 2.5}, "schedulers.cosine.T_max: 2.5 is not a whole number of epochs"),
    ({"schedulers__cosine__T_max": 0}, "schedulers.cosine.T_max: 0 is not a whole number of epochs from 1"),
    ({"schedulers__cosine__T_max": "nan%"}, "schedulers.cosine.T_max: 'nan%' is not"),
    ({"schedulers__cosine__eta_min": "low"}, "schedulers.cosine.eta_min: 'low': input should be a valid number"),
    ({"schedulers__cosine__interval": "step"}, "schedulers.cosine.interval: unknown 'step'; allowed: batch, epoch"),
    ({"schedulers__constant-factor__factor": 0}, "constant-factor.factor: 0: input should be greater than 0"),
    ({"metric": "test_accuracy", "task": "square-mlp"}, "metric: test_accuracy needs classes, and square-mlp has none"),
    ({"schedulers__step__step_size": "101%"}, "schedulers.step.step_size: '101%' is not"),
    ({"schedulers__step__gamma": "x"}, "schedulers.step.gamma: 'x': input should be a valid number"),
    ({"schedulers__multistep__milestones": ["75%", "50%"]}, "milestones are out of order: 75% is not before 50%"),
    ({"schedulers__multistep__milestones": [5, 5]}, "milestones are out of order: 5 is not before 5"),
    ({"schedulers__multistep__milestones": ["50%", "120%"]}, "multistep.milestones.1: '120%' is not"),
    ({"schedulers__sequential__milestones": [3, 5]}, "2 schedulers in sequence need 1 milestones, not 2"),
    ({"schedulers__wsd__warmup": "90%", "schedulers__wsd__decay": "90%"}, "warmup 90% and decay 90% are longer"),
    ({"schedulers__warmup-cosine__warmup": "100%"}, "warmup 100% takes the whole run of 40 epochs"),
    ({"schedulers__cyclic__base_lr": 9.0}, "schedulers.cyclic: base_lr 9 is above max_lr 0.15"),
    ({"schedulers__onecycle__pct_start": 1.0}, "schedulers.onecycle.pct_start: 1.0: input should be less than 1"),
    ({"schedulers__lambda__lr_lambda": "1 / step"}, "schedulers.lambda: '1 / step' cannot be computed at step 0"),
    ({"schedulers__lambda__lr_lambda": "1 - 2 * step / steps"}, "at step 21; allowed: finite numbers from 0"),
    ({"schedulers__lambda__lr_lambda": "__import__('os').getcwd()"}, "cannot be computed at step 0"),
    ({"schedulers__lambda__lr_lambda": "9**9**9**9"}, "cannot be computed at step 0"),
    ({"schedulers__my scheduler": {"class": "Constant"}}, "schedulers: 'my scheduler' cannot be a name"),
    ({"schedulers__a/x": {"class": "Constant"}}, "schedulers: 'a/x' cannot be a name"),
    ({"schedulers__cosine": {"T_max": 3}}, "schedulers.cosine.class is missing"),
    ({"schedulers__cosine__class": None}, "schedulers.cosine.class is missing"),
    ({"schedulers__cosine__class": []}, "schedulers.cosine.class: unknown []; allowed: "),
    ({"schedulers__cosine": None}, "schedulers.cosine is empty: must be a mapping with a class and its settings"),
    ({"schedulers__cosine": 3}, "schedulers.cosine: 3: must be a mapping with a class and its settings"),
    ({"schedulers__cosine__T_max": None}, "schedulers.cosine.T_max is empty: None is not a whole number of epochs"),
    ({"schedulers__lambda__lr_lambda": [1]}, "schedulers.lambda.lr_lambda: [1]: input should be a valid string"),
    ({"schedulers__chained__schedulers": [{"class": "StepLR"}] * 2}, "chained.schedulers.0.step_size is missing (and"),
    ({"optimizers__adam__betas": [0.9]}, "optimizers.adam.betas: [0.9]: list should have at least 2 items"),
    ({"optimizers__adam__betas": [0.9, 1]}, "optimizers.adam.betas.1: 1: input should be less than 1"),
    ({"speed": 3}, "unknown setting 'speed'; did you mean 'seeds'?"),
    ({"tasks": None}, "tasks is empty: must be a mapping"),
]


@pytest.mark.parametrize(
    ("changes", "message"), BAD, ids=[f"{number}-{message[:30]}" for number, (_, message) in enumerate(BAD)]
)
def test_a_mistake_is_one_line_that_names_the_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        load(**changes)
    line = str(raised.value)
    assert line.startswith("params.yaml: ")
    assert message in line
    assert "\n" not in line
    assert "[" not in line.split(";")[0].split(":")[1]  # keys are not in pydantic's notation


def test_lengths_in_optimizer_steps_are_checked_once_the_data_are_known() -> None:
    """An epoch of 1,077 examples has 34 batches of 32, so 100 steps are not a whole number of epochs."""
    found = load(scheduler="cosine", schedulers__cosine__T_max="100 steps")
    line = (
        "schedulers.cosine: T_max: 100 steps is not a whole number of epochs of 34 batches; allowed: multiples of 34 "
    )
    with pytest.raises(UserError, match=line + "steps, or any number with interval: batch$"):
        found.runs(1077)
    plateau = load(scheduler="plateau", schedulers__plateau__patience="100 steps")
    with pytest.raises(UserError, match=r"allowed: multiples of 34 steps$"):
        plateau.runs(1077)
    order = {"schedulers__multistep__milestones": ["100 steps", 2], "schedulers__multistep__interval": "batch"}
    load(scheduler="multistep", **order)
    with pytest.raises(UserError, match="milestones are out of order: 100 steps is not before 2"):
        load(scheduler="multistep", **order).runs(1077)


def test_an_optional_empty_key_has_its_default() -> None:
    found = load(lr=None, optimizer=None, metric=None)
    assert {(run.lr, run.optimizer) for run in found.runs()} == {(0.15, "sgd")}
    assert found.run_metric is TEST_ACCURACY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [", "not valid YAML: line 1"),
        ("task: a\ntask: b", "not valid YAML: line 2"),
        ("- a\n- b", "must hold the keys"),
        ("", "must hold the keys"),
        ("a: \x00", "not valid YAML"),
        ("{{a: b}: c}", "not valid YAML"),
        ("? [1, 2]\n: c", "unknown setting"),
        ("[" * 5000, "not valid YAML"),
    ],
)
def test_broken_yaml_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        params.load(file)
    assert "\n" not in str(raised.value)


def test_a_missing_or_binary_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    with pytest.raises(UserError, match="no such file"):
        params.load(file)
    file.write_bytes(b"task: \xff")
    with pytest.raises(UserError, match="not UTF-8 at byte 6"):
        params.load(file)


def test_numbers_in_dvcs_notation_are_read(tmp_path: Path) -> None:
    """DVC writes 1e-05, which a reader of YAML 1.1 would read as text."""
    from dvc.utils.hydra import apply_overrides

    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    apply_overrides(file, ["schedulers.cosine.eta_min=1e-5", "lr=[1e-3,1e-4]"])
    assert "eta_min: 1e-05" in file.read_text()
    run = params.load(file).runs()[0]
    assert run.lr == 1e-3


def test_dvc_changes_one_line(tmp_path: Path) -> None:
    """The file params.yaml is formatted as DVC writes it, so if a parameter is changed, the diff is one line."""
    from dvc.utils.hydra import apply_overrides

    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    apply_overrides(file, ["scheduler=cosine"])
    before, after = ((ROOT / "params.yaml").read_text().splitlines(), file.read_text().splitlines())
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
        ("scheduler: all", "scheduler: cosine")
    ]


def test_seeds_margin_and_budget_are_the_tasks_own_unless_set() -> None:
    changes = {
        f"tasks__digits-mlp__{key}": value for key, value in (("seeds", "auto"), ("margin", 0.3), ("budget", 99))
    }
    own = load(seeds=None, **changes)
    assert (own.run_seeds, own.run_margin, own.run_budget) == (None, 0.3, 99)
    top = load(seeds=[4, 7], margin=1, budget=50, **changes)
    assert (top.run_seeds, top.run_margin, top.run_budget) == ([4, 7], 1, 50)
    assert load().run_margin == 0.5
    assert load(metric="test_loss").run_margin == 10


def test_auto_starts_with_ten_seeds() -> None:
    assert [run.seed for run in load(seeds="auto", scheduler="step").runs()] == list(range(10))


def test_a_run_with_another_seed_differs_only_in_seed_and_name() -> None:
    (run,) = load(seeds=1, scheduler="step").runs()
    other = run.with_seed(7)
    assert (other.name, other.seed) == ("step-s7", 7)
    assert other.with_seed(0) == run
