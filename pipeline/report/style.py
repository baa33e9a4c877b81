"""The style of all pictures, and functions that save pictures to files or prepare them for a page."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from pipeline.comparison.questions import Verdict
from pipeline.files import replacing
from pipeline.report.arms import Arm, Place

matplotlib.use("agg")  # this backend needs no screen
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#A6478F"
"""Okabe and Ito's colours, which colour-blind readers can tell apart, with a darker purple for legible text."""
GREY, INK = "#7F7F7F", "#1A1A1A"
COLOURS: dict[Verdict, str] = {"better": BLUE, "worse": ORANGE, "equivalent": PURPLE, "open": GREY}
"""Colour of each verdict against the baseline; the baseline itself is drawn in `INK`."""
PLACES: dict[Place, str] = {"good enough": GREEN, "may be best": INK, "not needed": GREY}
"""Colour for each value of `Arm.place`, used in the plot against the leader and in sweeps without a baseline."""
LINE = "#EEEEEE"
DPI = 130
"""Resolution of PNGs in dots per inch."""
PAGE_COLOURS = {
    BLUE: "var(--better)",
    ORANGE: "var(--worse)",
    PURPLE: "var(--equivalent)",
    GREEN: "var(--good)",
    GREY: "var(--open)",
    INK: "currentColor",
    "#000000": "currentColor",
    "#FFFFFF": "none",
    LINE: "var(--line)",
}
"""Maps each colour of a picture to a CSS value, so that the picture adapts to a light or dark page."""
SALT = "lr-schedules"
"""A fixed salt for the ids in an SVG, so that the same picture always gives the same file."""
NO_METADATA: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
"""Metadata settings for each file format, which keep the date and matplotlib's version out of the file."""


def colours(arms: Sequence[Arm]) -> dict[tuple[str, str], str]:
    """Return the colour of each arm, keyed by scheduler and optimizer.

    An arm has the colour of its verdict against the baseline, and a baseline is drawn in `INK`. If no arm is
    compared with a baseline, each arm has the colour that `PLACES` gives for its place.
    """
    has_baseline = any(arm.comparison for arm in arms)
    return {
        arm.group.method: COLOURS[arm.comparison.verdict]
        if arm.comparison
        else (INK if has_baseline else PLACES[arm.place])
        for arm in arms
    }


def name_rows(panel: Axes, names: Sequence[str]) -> None:
    """Label the rows of a panel, and hide all of its borders except the bottom one."""
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)


def save(figure: Figure, *paths: Path) -> None:
    """Write ``figure`` to each path, as PNG or SVG depending on the path's suffix, and then close the figure."""
    for path in paths:
        with replacing(path) as draft:
            _write(figure, draft, path.suffix[1:])
    plt.close(figure)


def svg(figure: Figure) -> str:
    """Return a picture as SVG."""
    file = io.StringIO()
    _write(figure, file, "svg")
    return file.getvalue()


def for_page(drawn: str) -> str:
    """Return the SVG changed to be as wide as its container and to use the page's colours."""
    drawn = drawn[drawn.index("<svg") :]
    for colour, replacement in PAGE_COLOURS.items():
        drawn = drawn.replace(colour.lower(), replacement)
    return re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawn, count=1)


def _write(figure: Figure, file: Path | io.StringIO, kind: str) -> None:
    figure.set_dpi(DPI)
    if engine := figure.get_layout_engine():
        # With a layout engine, `savefig` would lay the picture out twice and draw it once more for each file.
        engine.execute(figure)
        figure.set_layout_engine(None)
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": SALT}):
        figure.savefig(file, format=kind, dpi=DPI, metadata=NO_METADATA[kind])
