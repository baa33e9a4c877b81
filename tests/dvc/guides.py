"""Guides are pages in docs/ whose blocks have marks; the functions here carry out these blocks in a clone.

A mark is an HTML comment on the line before a block:

- `<!-- file: my_model.py -->`: write the block to that file.
- `<!-- params: tasks -->`: paste the block into that section of params.yaml.
- `<!-- run -->`: run the block in a shell, which stops at the first command that fails.
- `<!-- prints -->`: run the commands, which follow `$`, and check that their output contains the text below them, in
  which `...` stands for any text. `prints: other figures` accepts other numbers, `prints: code 2` expects that exit
  code, `prints: until stopped` stops the command once it has printed the text, and `prints: without a GPU` skips the
  block on a machine with a GPU.
- `<!-- not run: reason -->`: do nothing. This mark exists because every block of shell commands needs a mark.
- `<!-- before: command -->`: run a command that the page takes for granted; no block follows this mark.
"""

import re
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.dvc.clones import environment
from tests.helpers.processes import LIMIT, process_group, wait_for

KINDS = ("file", "params", "run", "prints", "not run", "before")
OPTIONS = ("other figures", "until stopped", "without a GPU")
BLOCK = re.compile(
    r"^<!-- before: (?P<before>[^\n]+) -->$|"
    r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(rf"^<!-- ({'|'.join(KINDS)})(?:: (.+))? -->$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of a guide."""

    where: str
    """The page and the line where the block begins."""
    kind: str
    """One of `KINDS`."""
    about: str
    """The text of the mark after the colon."""
    text: str


def is_guide(text: str) -> bool:
    """Return True if a page contains a mark."""
    return MARK.search(text) is not None


def blocks(page: str, text: str) -> list[Block]:
    """Return the marked blocks of a page.

    Args:
        page: the name of the page.
        text: the content of the page.

    Raises:
        ValueError: a mark is unknown or has no block, or a block of shell commands in a guide has no mark.
    """
    marks = len(MARK.findall(text))
    found = []
    for match in BLOCK.finditer(text) if is_guide(text) else ():
        where = f"{page}:{text.count(chr(10), 0, match.start()) + 1}"
        if match["before"]:
            found.append(Block(where, "before", "", match["before"]))
            continue
        kind, _, about = (match["mark"] or "").partition(": ")
        if kind not in ("", *KINDS):
            raise ValueError(f"{where}: unknown mark {kind!r}; known are {', '.join(KINDS)}")
        if (kind in ("file", "params", "not run")) > bool(about):
            raise ValueError(f"{where}: the mark {kind!r} lacks what follows a colon")
        if not kind and match["language"] in ("sh", "bash", "shell"):
            raise ValueError(f"{where}: shell commands without a mark; `<!-- not run: reason -->` if they cannot run")
        if kind:
            found.append(Block(where, kind, about, match["text"]))
    if len(found) != marks:
        raise ValueError(f"{page}: a mark stands on the line before a block; of {marks}, {len(found)} do")
    return found


def carry_out(block: Block, clone: Path) -> None:
    """Do in a clone what the mark of a block says."""
    if block.kind == "file":
        (clone / block.about).parent.mkdir(parents=True, exist_ok=True)
        (clone / block.about).write_text(block.text, encoding="utf-8")
    elif block.kind == "params":
        _paste(block, clone / "params.yaml")
    elif block.kind in ("run", "before"):
        shell(block.text, clone, block.where)
    elif block.kind == "prints":
        _compare(block, clone)


def _paste(block: Block, params: Path) -> None:
    """Insert entries at the start of a section of params.yaml; a task is shortened to two epochs of few examples."""
    section = f"\n{block.about}:\n"
    text = params.read_text(encoding="utf-8")
    assert text.count(section) == 1, f"{block.where}: params.yaml has no section {block.about!r}"
    entries = re.sub(r"\bepochs: \d+", "epochs: 2", textwrap.indent(textwrap.dedent(block.text), "  "))
    entries = re.sub(r"\btrain_subset: \d+", "train_subset: 200", entries)
    params.write_text(text.replace(section, section + entries), encoding="utf-8")


def _compare(block: Block, clone: Path) -> None:
    """Run the commands in a block, and compare their output with the expected text."""
    options = [option for option in block.about.split(", ") if option]
    codes = [int(option.removeprefix("code ")) for option in options if option.startswith("code ")]
    assert {option for option in options if not option.startswith("code ")} <= {*OPTIONS}, block
    if "without a GPU" in options and torch.cuda.is_available():
        return
    for command, expected in console(block.text):
        wanted = pattern(expected, "other figures" in options)
        if "until stopped" in options:
            output = _until(wanted, command, clone)
        else:
            output = shell(command, clone, block.where, *codes)
        assert re.search(wanted, output, re.DOTALL), f"{block.where}: {command}\nprints\n{output}\nand not\n{expected}"


def console(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console session together with the lines below the command."""
    assert text.startswith("$ "), f"a console begins with `$ `: {text}"
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(number for number, line in enumerate(lines, start=1) if not line.endswith("\\"))
        yield "\n".join(lines[:end]), "\n".join(lines[end:])


def pattern(expected: str, other_figures: bool = False) -> str:
    """Return a regular expression that matches the expected output of a command.

    It allows other white space, and `...` matches any text.
    """
    parts = [r"\s+".join(map(re.escape, part.split())) for part in expected.split("...")]
    return ".*?".join(re.sub(r"\d+", r"\\d+", part) if other_figures else part for part in parts)


def shell(script: str, clone: Path, where: str, code: int = 0) -> str:
    """Run a shell script in a clone, and return its output. In the script, `uv run` starts forks of the fork server.

    If the script sets a number of seeds, two seeds are used instead.
    """
    done = subprocess.run(
        ["sh", "-ec", re.sub(r"\bseeds=\d+", "seeds=2", script)],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(cold=False),
        timeout=2 * LIMIT,
        start_new_session=True,
    )
    assert done.returncode == code, f"{where}: exit code {done.returncode}\n{script}\n{done.stdout}"
    return done.stdout


def _until(wanted: str, command: str, clone: Path) -> str:
    """Run a command that does not end by itself, stop it once its output matches ``wanted``, and return the output."""
    log = clone / ".cache" / "guide.log"
    log.parent.mkdir(exist_ok=True)
    with process_group(["sh", "-ec", f"{command} >{log} 2>&1"], clone, **environment(cold=False)) as process:
        wait_for(lambda: process.poll() is not None or (log.exists() and re.search(wanted, log.read_text(), re.DOTALL)))
    return log.read_text(encoding="utf-8")
