"""The blocks of each guide in docs/ are carried out one after another in a fresh clone.

A clone's params.yaml is smaller than a reader's: it has two schedulers, two seeds, one base rate and two epochs.
(`tests.dvc.guides` also shortens the tasks that a guide adds.) `CHANGES` sets other parameters for some guides.
"""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from tests.dvc.clones import fresh_clone, store
from tests.dvc.guides import Block, blocks, carry_out, console, is_guide, pattern
from tests.helpers.project import FOREIGN, ROOT

pytestmark = pytest.mark.filterwarnings(*FOREIGN)
CHANGES: dict[str, dict[str, Any]] = {
    "mlflow": {
        "seeds": "null",
        "tasks.digits-mlp.lr": 0.1,
        "tasks.digits-mlp.epochs": 5,
    },  # enough runs to recommend a model
}
GUIDES = [page for page in sorted((ROOT / "docs").glob("*.md")) if is_guide(page.read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_what_a_guide_says_works_in_a_fresh_clone(guide: Path, tmp_path: Path, empty_store: Path) -> None:
    changes = {"scheduler": "[constant,cosine]", "seeds": 2, "tasks.digits-mlp.epochs": 2} | CHANGES.get(guide.stem, {})
    with fresh_clone(tmp_path, empty_store, ("constant", "cosine"), **changes) as clone:
        for block in blocks(guide.name, guide.read_text(encoding="utf-8")):
            carry_out(block, clone)
        if guide.stem == "mlflow":
            assert_filters_find_runs(guide.read_text(encoding="utf-8"), store(clone))


def assert_filters_find_runs(page: str, uri: str) -> None:
    """Check that every filter in the page's table finds runs, except those for another sweep or for unfinished runs."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits-mlp")
    assert experiment is not None
    found = {
        query: len(client.search_runs([experiment.experiment_id], query))
        for query in re.findall(r"^\| `(.+?)` \|", page, re.M)
    }
    assert {query for query, count in found.items() if count == 0} == {
        query for query in found if re.search("5d4a0c929333|long|RUNNING", query)
    }
    assert len(found) > 5


def test_files_that_only_a_cluster_can_use_have_no_mistakes_of_form() -> None:
    files = {
        block.about: block.text
        for guide in GUIDES
        for block in blocks(guide.name, guide.read_text(encoding="utf-8"))
        if block.kind == "file"
    }
    subprocess.run(["bash", "-n"], input=files["sweep.sbatch"], text=True, check=True)
    volume, cluster = YAML(typ="safe").load_all(files["raycluster.yaml"])
    assert cluster["spec"]["rayVersion"] == version("ray")
    head, workers = (cluster["spec"][key] for key in ("headGroupSpec", "workerGroupSpecs"))
    pods = [group["template"]["spec"] for group in (head, *workers)]
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1
    claims = [each["persistentVolumeClaim"]["claimName"] for each in pods[0]["volumes"]]
    assert claims == [volume["metadata"]["name"]]


def test_marks_say_what_to_do() -> None:
    page = """# A page
<!-- before: uv run dvc repro -->

<!-- file: a.py -->
```python
x = 1
```
```yaml
not: marked
```
<!-- prints: code 2 -->
```console
$ one \\
  two
three
```
"""
    found = [Block("a.md:2", "before", "", "uv run dvc repro"), Block("a.md:4", "file", "a.py", "x = 1\n")]
    assert blocks("a.md", page) == [*found, Block("a.md:11", "prints", "code 2", "$ one \\\n  two\nthree\n")]
    assert [*console(blocks("a.md", page)[2].text)] == [("one \\\n  two", "three")]


def test_what_a_command_prints_is_compared() -> None:
    shown = "a  1.5\n...\nthe end"
    assert re.search(pattern(shown), "first\na 1.5\nand so on\nthe\nend", re.DOTALL)
    assert not re.search(pattern(shown), "a 2.5\nthe end", re.DOTALL)
    assert re.search(pattern(shown, other_figures=True), "a 20.25\nthe end", re.DOTALL)
    assert not re.search(pattern(shown, other_figures=True), "a x\nthe end", re.DOTALL)
    assert not re.search(pattern("a\nthe end"), "a\nand so on\nthe end", re.DOTALL)


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("<!-- run -->\n```sh\ntrue\n```\n```sh\nfalse\n```\n", "a.md:5: shell commands without a mark"),
        ("<!-- run -->\n```sh\ntrue\n```\n<!-- rum -->\n```sh\nfalse\n```\n", "a.md:5: unknown mark 'rum'"),
        ("<!-- run -->\n\n```console\ntrue\n```\n", "a.md: a mark stands on the line before a block; of 1, 0 do"),
        ("<!-- file -->\n```python\nx = 1\n```\n", "a.md:1: the mark 'file' lacks what follows a colon"),
    ],
)
def test_a_block_that_would_be_passed_over_is_an_error(page: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        blocks("a.md", page)
