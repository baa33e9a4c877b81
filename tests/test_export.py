"""`pipeline export`: the recommended scheduler, remarks about a scheduler, and one-line errors."""

import json
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.export import TARGETS
from pipeline.runs import params, records
from pipeline.runs.epoch import Epoch
from pipeline.runs.records import Record, Sweep
from pipeline.stages.export import NOT_COMPARED, export
from tests.helpers.commands import Command
from tests.helpers.project import edit

HEADLINE = "Use cosine at a base LR of 0.1: 95% sure that it beats constant."
ARMS = {
    "constant": {"test_accuracy": 0.96, "place": "not needed", "bound": None, "seeds": 2, "lr": 0.05},
    "cosine": {
        "test_accuracy": 0.97,
        "place": "good enough",
        "bound": 0.002,
        "verdict": "better",
        "seeds": 2,
        "lr": 0.1,
    },
    "step": {"test_accuracy": 0.97, "place": "may be best", "bound": 0.0124, "verdict": "open", "seeds": 2, "lr": 0.1},
}


def write_answer(project: Path, leader: str = "cosine") -> None:
    results = project / "results"
    results.mkdir(exist_ok=True)
    (results / "answer.json").write_text(json.dumps({"leader": leader, "headline": HEADLINE}))
    (results / "schedulers.json").write_text(json.dumps(ARMS))


@pytest.fixture
def swept(project: Path) -> Path:
    """A project with a trained and evaluated sweep of three schedulers at two base rates."""
    edit(project, scheduler="[constant,cosine,step]", seeds=2, lr="[0.05,0.1]")
    runs = params.load().runs(examples=34 * 32)
    for run in runs:
        record = Record(run, "finished", [Epoch.of_network(1, run.lr, 1.0, 1.0, 0.5)], "cpu", "2", "f")
        records.write(project / "models" / run.name, record, b"")
    records.write_sweep(project / "models", Sweep("digits-mlp", [run.name for run in runs], "f"))
    write_answer(project)
    return project


def test_without_a_name_the_recommended_scheduler_is_exported_with_the_verdict(swept: Path) -> None:
    code = export(None, "torch")
    said = " ".join(line.removeprefix("# ") for line in code.splitlines() if line.startswith("# "))
    assert f"The sweep of digits-mlp says: {HEADLINE}" in said
    assert "CosineAnnealingLR(optimizer, T_max=EPOCHS, eta_min=1e-06)" in code
    assert "lr=0.1, momentum=0.9" in code
    assert "EPOCHS = 40" in code


def test_another_scheduler_of_the_sweep_has_its_own_verdict(swept: Path) -> None:
    said = " ".join(export("step", "torch").split("import")[0].replace("# ", "").split())
    assert HEADLINE in said
    assert "step: at most 1.24 points behind the best; open against constant." in said
    said = " ".join(export("constant", "torch").split("import")[0].replace("# ", "").split())
    assert "constant: not needed, because another arm of the sweep is better." in said
    assert "base LR 0.05." in said


def test_a_scheduler_that_was_not_compared_has_a_remark(swept: Path) -> None:
    assert NOT_COMPARED in export("rex", "torch")
    edit(swept, schedulers__step__gamma=0.5)
    assert NOT_COMPARED in export("step", "torch")
    assert NOT_COMPARED in export("cosine", "torch", task="mnist-mlp")


def test_a_name_needs_no_sweep(project: Path) -> None:
    assert NOT_COMPARED in export("cosine", "timm")
    edit(project, lr="[0.05,0.1,0.2]", optimizer="adam")
    assert "torch.optim.Adam(model.parameters(), lr=0.1)" in export("cosine", "torch")


def test_options_set_length_and_rate(swept: Path) -> None:
    code = export("cosine", "torch", epochs=90, steps_per_epoch=500, lr=0.3, interval="batch")
    said = " ".join(code.split("import")[0].replace("# ", "").split())
    assert "cosine with PyTorch: 90 epochs of 500 steps, base LR 0.3." in said
    assert "It was compared stepped once an epoch, over 40 epochs and at a base LR of 0.1." in said
    for part in ("EPOCHS = 90", "STEPS_PER_EPOCH = 500", "T_max=EPOCHS * STEPS_PER_EPOCH", "lr=0.3"):
        assert part in code


def test_lengths_in_optimizer_steps_follow_steps_per_epoch(project: Path) -> None:
    edit(project, schedulers__cosine__T_max="'1360 steps'")
    assert "T_max=40," in export("cosine", "torch")
    assert "T_max=17," in export("cosine", "torch", steps_per_epoch=80)
    assert "T_max=1360," in export("cosine", "torch", interval="batch")
    assert "T_max=17," in export("cosine", "torch", task="mnist-mlp", steps_per_epoch=80)  # whose data are not prepared
    with pytest.raises(UserError, match="cosine: T_max: 1360 steps is not a whole number of epochs of 100 batches"):
        export("cosine", "torch", steps_per_epoch=100)
    with pytest.raises(UserError, match="cosine has lengths in optimizer steps, which need the data of mnist-mlp"):
        export("cosine", "torch", task="mnist-mlp")


def test_a_users_schedule_is_imported(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    own = "tests.schedules.mine:falling", "tests.schedules.mine:Restarting"
    entries = f"  falling: {{class: '{own[0]}', power: 2}}\n  restarting: {{class: '{own[1]}', at: 0.5}}\n"
    (project / "params.yaml").write_text(text + entries)
    for target in TARGETS:
        code = export("falling", target)
        assert "import tests.schedules.mine\n" in code
        assert "# This code needs your own module tests.schedules.mine.\n" in code
        assert "optimizer, epochs=EPOCHS, steps=EPOCHS, power=2" in " ".join(code.split())
    with pytest.raises(UserError, match=r"^--to lightning: Lightning needs load_state_dict\(\), which the scheduler"):
        export("restarting", "lightning")
    edit(project, schedulers__falling__power=-1)
    with pytest.raises(UserError, match=r"^schedule tests.schedules.mine:falling: step\(\) raises ZeroDivisionError"):
        export("falling", "torch")


def test_results_of_another_sweep_and_damaged_results_are_one_line(swept: Path) -> None:
    write_answer(swept, leader="wsd")
    with pytest.raises(UserError, match="results does not belong to the sweep in models"):
        export(None, "torch")
    for damaged in ("[]", "{", '{"leader": "cosine"}'):
        (swept / "results" / "answer.json").write_text(damaged)
        with pytest.raises(UserError, match="no answer of a sweep"):
            export(None, "torch")
    write_answer(swept)
    (swept / "results" / "schedulers.json").unlink()
    with pytest.raises(UserError, match="no answer of a sweep"):
        export(None, "torch")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cosin"], "unknown scheduler 'cosin'; did you mean 'cosine'?"),
        (["all"], "unknown scheduler 'all'; allowed:"),
        (["cosine", "--to", "tim"], "--to: unknown 'tim'; did you mean 'timm'?"),
        (["cosine", "--task", "mnist"], "params.yaml: task: unknown 'mnist'; did you mean 'mnist-mlp'?"),
        (["cosine", "--interval", "batches"], "--interval: unknown 'batches'; did you mean 'batch'?"),
        (["plateau", "--interval", "batch"], "--interval: plateau follows the validation loss; allowed: epoch"),
        (["schedule-free", "--interval", "epoch"], "--interval: schedule-free counts optimizer steps; allowed: batch"),
        (["cosine", "--lr", "-1"], "--lr: -1 is not a learning rate from 1e-30 to 1e+30"),
        (["cosine", "--lr", "nan"], "--lr: nan is not a learning rate from 1e-30 to 1e+30"),
        ([], "no scheduler to recommend; name one, or train: models/sweep.json: no such file"),
    ],
)
def test_a_mistake_is_one_line(pipeline: Command, arguments: list[str], line: str) -> None:
    done = pipeline("export", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_length_that_does_not_fit_is_one_line(pipeline: Command, project: Path) -> None:
    edit(project, schedulers__onecycle__total_steps=40)
    done = pipeline("export", "onecycle", "--epochs", "50")
    assert (done.returncode, done.stdout) == (2, "")
    assert "onecycle: total_steps 40 is shorter than the run of 50 epochs" in done.stderr


def test_code_is_printed_or_written_to_a_file(pipeline: Command, project: Path) -> None:
    for target in TARGETS:
        printed = pipeline("export", "rex", "--to", target)
        written = pipeline("export", "rex", "--to", target, "--out", "code/mine.py")
        assert (printed.returncode, written.stdout) == (0, "written to code/mine.py\n")
        assert (project / "code" / "mine.py").read_text() == printed.stdout
