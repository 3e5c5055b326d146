"""What all our plots look like: SVG that takes its colours from the page, light or dark."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from cycler import cycler
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Final = (
    # (light, dark) of each series: told apart by lightness too, not only by hue.
    ("#2563b8", "#6ea8fe"),
    ("#c2570c", "#fb9a4b"),
    ("#187a4b", "#4fc98a"),
    ("#a21c6a", "#f27ab8"),
    ("#6b46c1", "#b39dfa"),
    ("#0e7490", "#48c6de"),
    ("#8a6d00", "#e2c044"),
    ("#b42318", "#ff8a80"),
    ("#4d5b6a", "#a9b6c4"),
    ("#5a3e1b", "#cdaa7d"),
)
INK, RULE = "#010203", "#040506"  # stand for colours of the page until `svg` replaces them
NARROW, WIDE = 3.5, 5.4  # inches: a panel among others, and one by itself; both can be read on a phone

STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "foldrec",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=[f"#0a0b{number:02x}" for number in range(len(COLOURS))]),
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


def panel(height: float, *, width: float = NARROW) -> tuple[Figure, Axes]:
    """A figure of one panel, of a height and a width in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def svg(figure: Figure) -> str:
    """The figure as an inline SVG element, its colours as CSS variables."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    drawn = stream.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for number in range(len(COLOURS)):
        drawn = drawn.replace(f"#0a0b{number:02x}", f"var(--series-{number})")
    return drawn.replace(INK, "var(--ink)").replace(RULE, "var(--rule)")
