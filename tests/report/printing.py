"""The answer as it is printed in the terminal, and an example of a report's section on reproduction."""

import io
from pathlib import Path

from rich.console import Console

from pipeline.comparison.answer import Findings
from pipeline.report.answer_table import print_answer
from pipeline.report.reproduction import Code, Reproduction

REPRODUCTION = Reproduction(
    task="digits-mlp",
    about="mlp on <digits>",
    command="uv run dvc exp run -S 'scheduler=[constant,step]'",
    settings="tasks:  # <&>\n",
    user_code=[Code("own.py", "def build(): ...\n")],
    environment={"device": "cpu", "torch": "2.9"},
)


def printed(findings: Findings, width: int = 100) -> str:
    stream = io.StringIO()
    print_answer(Console(file=stream, width=width), findings, Path("results/report.html"))
    return stream.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())
