"""The command line: its options, its messages and the files that it writes."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.datasets import fetch
from pipeline.report.results_folder import WRITTEN
from tests.helpers.assertions import assert_refused
from tests.helpers.commands import Command, Start
from tests.helpers.fork_server import path
from tests.helpers.processes import wait_for
from tests.helpers.project import ROOT, SCHEDULERS, edit
from tests.helpers.servers import free_port, wait_for_server

QUICK = {"tasks__digits-mlp__epochs": 2, "seeds": 1}


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['pipeline', '--help']\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', {'torch', 'mlflow', 'matplotlib', 'pandas', 'numpy', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "HEAVY set()" in done.stdout
    commands = ("download", "train", "evaluate", "track", "ui", "schedules", "export", "find-lr", "cache")
    for command in (*commands, "--install-completion"):
        assert command in done.stdout


def test_a_mistake_in_params_is_one_line(pipeline: Command, project: Path) -> None:
    edit(project, scheduler="cosin")
    assert_refused(pipeline, project, "train", says="scheduler: unknown 'cosin'; did you mean 'cosine'?")


@pytest.mark.parametrize("command", ["download", "train", "evaluate", "track", "ui", "schedules", "find-lr"])
def test_every_command_checks_params_first(pipeline: Command, project: Path, command: str) -> None:
    (project / "params.yaml").write_text("task: [")
    assert_refused(pipeline, project, command, says="params.yaml: not valid YAML: line 1, column 8")


def test_evaluate_before_train_is_one_line(pipeline: Command, project: Path) -> None:
    assert_refused(pipeline, project, "evaluate", says="models/sweep.json: no such file; run `uv run pipeline train`")


def test_train_before_download_is_one_line(pipeline: Command, project: Path) -> None:
    shutil.rmtree(project / "data")
    assert_refused(pipeline, project, "train", says="run `uv run pipeline download` first")


def test_the_data_of_another_task_are_refused(pipeline: Command, project: Path) -> None:
    edit(project, task="mnist-mlp")
    assert_refused(pipeline, project, "train", says="data holds digits, but mnist-mlp is trained on mnist")


@pytest.mark.slow
def test_an_unreachable_server_is_reported_before_training(pipeline: Command, project: Path) -> None:
    server = "http://127.0.0.1:9"
    says = f"the store {server} cannot be used ([Errno 111] Connection refused)"
    assert_refused(pipeline, project, "train", says=says, MLFLOW_TRACKING_URI=server)


def test_mnist_without_network_or_mirror_is_one_line(
    pipeline: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "RETRIES", 0)  # because there is a wait before each retry
    edit(project, task="mnist-mlp")
    done = pipeline(
        "download", DATA_MIRROR="/nowhere", https_proxy="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9"
    )
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    for part in ("/nowhere/mnist/train-images-idx3-ubyte.gz (no such file)", "https://", "DATA_MIRROR", "digits-mlp"):
        assert part in line
    assert "Traceback" not in done.stderr
    assert (project / "data" / "summary.json").exists()  # the earlier data were kept


def test_a_full_disk_is_one_line(start: Start, project: Path) -> None:
    """The folder models/ and, later, the folder data/ are on a disk of 96 kB."""
    edit(project, **QUICK)
    (project / "tiny").mkdir()
    (project / "models").symlink_to("tiny/models")
    disk = "mount -t tmpfs -o size=96k tmpfs tiny && mkdir tiny/models"
    done = start("train", "--jobs", "1", mount=disk).wait()
    assert done.returncode == 1
    assert done.stderr.strip().endswith("could not be written: No space left on device")
    assert len(done.stderr.strip().splitlines()) == 1
    start("cache", mount="cp -r tiny/models seen").wait()  # only commands that mount something see the disk
    kept = [path.name for path in (project / "seen").iterdir()]
    assert kept
    assert not [name for name in kept if name.startswith(".")]  # there are no half-written files
    assert all((project / "seen" / name / "model.safetensors").exists() for name in kept)

    fill = "rm -r tiny/models && cp params.yaml tiny && mkdir tiny/data && head -c 40000 /dev/zero > tiny/filler"
    start("cache", mount=fill).wait()
    done = start("download", folder=project / "tiny", mount="true").wait()
    assert done.returncode == 1
    assert "data could not be written: No space left on device" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    start("cache", mount="cp -r tiny/data left").wait()
    assert not list((project / "left").iterdir())


def test_jobs_and_device_come_from_the_environment(pipeline: Command, project: Path) -> None:
    edit(project, **QUICK, scheduler="cosine")
    assert "--jobs" in pipeline("train", PIPELINE_JOBS="0").stderr
    assert "--device warp: not on this machine; allowed: auto, cpu" in pipeline("train", PIPELINE_DEVICE="warp").stderr
    assert "with 1 process (" in pipeline("train", PIPELINE_JOBS="1").stdout


def test_the_cache_is_listed_and_pruned(pipeline: Command, project: Path) -> None:
    assert "the run cache is empty" in pipeline("cache").stdout
    edit(project, **QUICK, scheduler=["constant", "step"])
    assert "trained 2 runs and took 0 from the cache" in pipeline("train").stdout
    assert "trained 0 runs and took 2 from the cache" in pipeline("train").stdout
    listed = pipeline("cache").stdout
    assert any(line.split()[:2] == ["digits-mlp", "2"] for line in listed.splitlines())
    done = pipeline("cache", "--larger-than", "0")
    assert "removed 2 runs" in done.stdout
    assert "the run cache is empty" in done.stdout
    assert "trained 2 runs" in pipeline("train").stdout


def test_training_removes_an_earlier_sweep(pipeline: Command, project: Path) -> None:
    for scheduler in ("step", "cosine"):
        edit(project, **QUICK, scheduler=scheduler)
        assert pipeline("train").returncode == 0
    assert sorted(path.name for path in (project / "models").iterdir()) == ["constant-s0", "cosine-s0", "sweep.json"]
    edit(project, task="mnist-mlp", **{"tasks__mnist-mlp__dataset": "digits"})
    assert_refused(pipeline, project, "evaluate", says="models holds runs of digits-mlp, not of mnist-mlp")


def test_schedules_prints_a_table_of_all(pipeline: Command, project: Path) -> None:
    out = pipeline("schedules").stdout
    for name in SCHEDULERS:
        assert f" {name} " in out
    assert "eta_min + (lr - eta_min) · (1 + cos(π · t/T_max))/2" in out
    assert "arXiv:2405.18392" in out


def test_schedules_draws_curves_without_training(pipeline: Command, project: Path) -> None:
    shutil.rmtree(project / "data")
    done = pipeline("schedules", "cosine", "onecycle", "--task", "mnist-mlp", "--epochs", "20", "--lr", "0.3")
    assert done.returncode == 0, done.stderr
    assert "T_max=20" in done.stdout
    assert "max_lr=0.3" in done.stdout
    assert "arXiv:1708.07120" in done.stdout
    assert (project / "results" / "schedules.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("cosin",), "unknown 'cosin'; did you mean 'cosine'?"),
        (("cosine", "--set", "tmax=3"), "unknown setting 'tmax'; did you mean 'T_max'?"),
        (("cosine", "--set", "T_max=x"), "T_max: 'x' is not a whole number of epochs"),
        (("cosine", "--lr", "-1"), "lr: -1.0 is not a learning rate from 1e-30 to 1e+30"),
        (("cosine", "--png", "curve.jpg"), "--png curve.jpg: the name must end in .png or .svg"),
        (
            ("step", "--task", "cifar10-lenet", "--set", "step_size.x=1"),
            "tasks.cifar10-lenet.schedulers.step.step_size.x: step_size is 5 and has no settings",
        ),
        (("cosine", "--task", "mnist"), "task: unknown 'mnist'; did you mean 'mnist-mlp'?"),
    ],
)
def test_a_mistake_in_schedules_is_one_line(
    pipeline: Command, project: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert_refused(pipeline, project, "schedules", *arguments, says=says)


@pytest.mark.parametrize("out", ["data", ".", "params.yaml/x"])
def test_an_output_path_that_is_a_folder_is_one_line(pipeline: Command, project: Path, out: str) -> None:
    assert_refused(pipeline, project, "export", "cosine", "--out", out, says=" could not be written: ", code=1)


def test_shell_completion_knows_the_schedulers(pipeline: Command) -> None:
    environment = {"_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": "pipeline schedules co", "COMP_CWORD": "2"}
    words = pipeline(**environment).stdout.split()
    assert words == ["constant", "constant-factor", "cosine", "cosine-restarts"]


def test_dvc_keeps_the_files_that_evaluate_writes() -> None:
    stage = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]["evaluate"]
    outs = [*stage["outs"], *stage["metrics"]]
    kept = [path for each in outs for path in ([each] if isinstance(each, str) else each)]
    assert sorted(kept) == sorted(f"results/{name}" for name in WRITTEN)


@pytest.mark.slow
def test_ui_starts_the_server_and_prints_links(pipeline: Command, start: Start, project: Path) -> None:
    edit(project, **QUICK, scheduler=["constant", "step"])
    assert "has no runs of digits-mlp" in pipeline("ui").stderr
    assert pipeline("train").returncode == 0
    port = free_port()
    process = start("ui", "--port", str(port), MLFLOW_WORKERS="1", PATH=path())
    wait_for(lambda: len(process.stdout.splitlines()) >= 4)  # before `evaluate`, there is no link to a comparison
    lines = process.stdout.splitlines()
    assert f"http://127.0.0.1:{port}/#/experiments/1/runs?compareRunsMode=CHART&viewStateShareKey=" in lines[0]
    assert "compare-runs" in lines[3]
    wait_for_server(f"http://127.0.0.1:{port}")
    process.send_signal(signal.SIGTERM)
    process.wait()  # afterwards, a fixture checks that the server has ended, too
