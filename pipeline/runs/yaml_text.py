"""A parser for YAML 1.2, in which 1e-05 is a number. PyYAML would read 1e-05 as text."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.errors import UserError


def parse(text: str, source: Path) -> Any:
    """Return the value that a YAML document describes.

    Raises:
        UserError: the document is not valid YAML. The message begins with ``source``.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark, problem = error.problem_mark, " ".join(str(error.problem).split())
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise UserError(f"{source}: not valid YAML: {where}{problem}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{source}: not valid YAML: {problem}") from None
