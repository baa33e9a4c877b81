"""The report as two documents: report.md, and report.html, which needs no other file."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import Group
from pipeline.files import write_text
from pipeline.report import advice, phrases, wording
from pipeline.report.arms import arms, others
from pipeline.report.cards import cards
from pipeline.report.question_tables import table
from pipeline.report.reproduction import Reproduction
from pipeline.report.style import colours, for_page
from pipeline.report.units import cells


def write(folder: Path, findings: Findings, pictures: Mapping[str, Path], reproduction: Reproduction) -> None:
    """Write report.md and report.html into ``folder``; ``pictures`` maps the name of each picture to its SVG file."""
    rows, answer = arms(findings), findings.answer
    metric = answer.scale.metric

    def mean(group: Group) -> str:
        return " ± ".join(filter(None, phrases.mean_and_deviation(group, metric)))

    content = {
        "reproduction": reproduction,
        "baseline": findings.baseline,
        "setup": wording.setup(findings),
        "headline": wording.headline(findings),
        "cautions": advice.cautions(findings),
        "basis": wording.basis(findings),
        "next_step": advice.next_step(findings),
        "metric": metric,
        "figure_title": metric.title.removeprefix("test "),
        "margin": phrases.size(answer.scale.margin, metric),
        "mean": mean,
        "arms": rows,
        "is_provisional": answer.is_provisional,
        "units": {row.name: cells(row.group, findings.units) for row in rows},
        "has_comparisons": any(arm.comparison for arm in rows),
        "has_optimizers": len({arm.group.run.optimizer for arm in rows}) > 1,
        "tables": [table(question) for question in others(findings)],
        "pictures": pictures,
    }
    drawn = cards([arm.group for arm in rows], colours(rows))
    _render("report.html.j2", folder / "report.html", content | {"cards": drawn})
    _render("report.md.j2", folder / "report.md", content)


def _render(template: str, path: Path, content: Mapping[str, Any]) -> None:
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=path.suffix == ".html",
    )
    filters = {"difference": phrases.difference, "interval": phrases.interval, "failures": phrases.failures}
    environment.filters |= {"code": _code, "figure": _figure, "svg": _svg, **filters}
    environment.tests["known"] = math.isfinite
    write_text(path, environment.get_template(template).render(content))


def _code(text: str) -> Markup:
    """Escape text for HTML, and mark the parts between backticks as code."""
    return Markup(re.sub("`(.*?)`", r"<code>\1</code>", str(escape(text))))


def _svg(path: Path) -> Markup:
    """Read a picture from an SVG file, and return the SVG for use in a page."""
    return Markup(for_page(path.read_text(encoding="utf-8")))


def _figure(value: float, how: str) -> str:
    """Return a number in the format ``how``, or an empty string if the number is not finite."""
    return format(value, how) if math.isfinite(value) else ""
