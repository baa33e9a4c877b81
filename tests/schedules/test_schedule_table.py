from pipeline.schedules import table
from tests.helpers.project import ROOT, SCHEDULERS, load

BEGIN, END = "<!-- schedules -->\n", "\n<!-- /schedules -->"


def test_the_documentation_has_the_current_table() -> None:
    text = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0]
    assert shown == table(load().schedulers), "put the output of `uv run pipeline schedules --markdown` into it"


def test_a_row_has_name_class_formula_and_short_source() -> None:
    rows = table(load().schedulers).splitlines()
    assert len(rows) == 2 + len(SCHEDULERS)
    (cosine,) = (row for row in rows if row.startswith("| `cosine` |"))
    assert cosine == (
        "| `cosine` | `CosineAnnealingLR` | eta_min + (lr - eta_min) · (1 + cos(π · t/T_max))/2 "
        "| Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5, without its restarts |"
    )
