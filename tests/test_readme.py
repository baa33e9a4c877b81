"""Everything that the README and docs/ mention exists, and the README's reference is complete."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from pipeline import networks
from pipeline.cli import app
from pipeline.runs import params
from pipeline.runs.params import Params
from pipeline.runs.task import Task
from pipeline.runs.yaml_text import parse
from tests.helpers.project import ROOT, load
from tests.reference import rows

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / ".github" / "CONTRIBUTING.md"]
REFERENCE = README.partition("## Reference: params.yaml")[2].partition("\n## ")[0]
KEYS = {*Params.model_fields, *Task.model_fields}
MAX_LINES = 220
MAX_BYTES = 1_000_000
MAX_IMAGE_BYTES = 400_000


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub creates for a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_keys(heading: str) -> set[str]:
    """Return the keys in the first column of the reference table under ``heading``."""
    table = REFERENCE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    return {key.removesuffix(".<name>") for cell in cells for key in re.findall(r"`(.+?)`", cell)}


def commands(text: str) -> list[str]:
    """Return all command lines in code blocks and all code spans."""
    blocks = [block.replace("\\\n", " ") for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)]
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", without_code(text))
    return lines + [span.replace("\n", " ") for span in spans]


def overrides(command: str) -> list[str]:
    words = shlex.split(command, comments=True)
    return [value for option, value in pairwise(words) if option == "-S"]


def added(page: Path) -> set[str]:
    """Return the keys that a page tells its reader to add to params.yaml."""
    examples = re.findall(r"```yaml\n(.*?)```", text_of(page), re.DOTALL)
    return {name for example in examples for name in re.findall(r"^ *([\w-]+):", example, re.MULTILINE)} - KEYS


def experiments() -> list[tuple[str, ...]]:
    """Return the distinct `-S` values of all commands on all pages, except values with keys that the reader adds."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        own = added(page)
        for line in commands(text_of(page)):
            values = tuple(overrides(line)) if "-S " in line and "=" in line else ()
            if not own & {*re.findall(r"[\w-]+", " ".join(values))}:
                found[values] = None
    return [values for values in found if values]


def tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git repository")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_exist(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", without_code(text_of(page))):
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"uv run pipeline ([a-z-]+)", text_of(page))) <= known
    assert "python -m pipeline " not in text_of(page)


@pytest.mark.parametrize("values", experiments(), ids=" ".join)
def test_experiments_are_accepted(values: tuple[str, ...], tmp_path: Path) -> None:
    """DVC can apply the `-S` values of a page's command, and params.yaml is still valid afterwards."""
    for choice in get_hydra_sweeps({"params.yaml": list(values)}):
        file = shutil.copy(ROOT / "params.yaml", tmp_path)
        apply_overrides(file, choice["params.yaml"])
        params.load(tmp_path / "params.yaml")


def test_yaml_examples_are_accepted() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert examples
    for example in examples:
        for name, value in parse(example, ROOT).items():
            if "dataset" in value:
                load(task=name, **{f"tasks__{name}": value})
            else:
                load(scheduler=name, **{f"schedulers__{name}": value})


def test_python_examples_compile() -> None:
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        compile(example, "README.md", "exec")


def test_reference_has_every_key_and_no_other() -> None:
    assert table_keys("key") == set(Params.model_fields)
    assert table_keys("key of a task") == set(Task.model_fields)


def test_reference_has_every_task_data_set_loss_and_optimizer() -> None:
    for key, cell in rows().items():
        assert f"| `{key}` | {cell} |" in REFERENCE.splitlines(), "run `uv run python -m tests.reference`"


def test_reference_has_every_setting_of_models() -> None:
    named = {name: {*kind.model_fields} - {"name"} for name, kind in networks.REGISTRY.items()}
    (cell,) = re.findall(r"^\| `model` \| (.*) \|$", REFERENCE, re.MULTILINE)
    shown = dict(re.findall(r"\{name: ([a-z-]+), ([^}]+)\}", cell))
    assert {name: set(settings.split(", ")) for name, settings in shown.items()} == named


def test_every_horizon_is_named() -> None:
    """The reference names every setting whose value in params.yaml is a percentage."""
    for name in re.findall(r"(\w+):(?: \d+|\n +- \d+)%", text_of(ROOT / "params.yaml")):
        assert f"`{name}`" in REFERENCE, name


def test_the_map_shows_the_top_level_of_the_package() -> None:
    text = text_of(ROOT / "docs" / "house.md")
    for path in (ROOT / "pipeline").iterdir():
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py"):
            assert re.search(rf"^  .*\b{path.name}", text, re.MULTILINE), path.name


def test_committed_files_are_small_and_few_are_generated() -> None:
    names = tracked_files()
    for name in names:
        assert (ROOT / name).stat().st_size <= (MAX_IMAGE_BYTES if name.endswith(".png") else MAX_BYTES), name
    assert [name for name in names if name.startswith("results/")] == ["results/metrics.json"]
    assert [name for name in names if name.endswith(".lock")] == ["dvc.lock"]
