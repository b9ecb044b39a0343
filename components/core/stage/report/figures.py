"""Figures of a report: drawn without a display, embedded as SVG whose colours follow the reader's theme."""

from __future__ import annotations

import colorsys
import io
import re
from typing import Any

DARK_PAPER = "#151a21"
"""Background of a page in the dark; `page.css` has the same."""
MIN_CONTRAST = 4.5
"""Contrast of a line, a bar or a letter with the dark background (WCAG 2.2, 1.4.3)."""
LARGEST_SVG = 400_000
"""Characters; a figure of more points than that is embedded as PNG on white."""
_FOREIGN = re.compile(
    r'<metadata>.*?</metadata>|<!--.*?-->| xmlns(:\w+)?="[^"]*"|xlink:(?=href)', flags=re.DOTALL
)
"""What inline SVG has no use for: its author, comments, addresses of namespaces."""
_COLOUR = re.compile(r"(?P<name>fill|stroke): (?P<colour>#[0-9a-f]{6})")


def figure_axes(width: float = 7.0, height: float = 3.2) -> tuple[Any, Any]:
    """A matplotlib figure and its axes, drawn without a display; sizes in inches."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def figure_svg(figure: Any) -> str:
    """A matplotlib figure as an `<svg>` element; "" if it has so many points that a PNG is smaller.

    The same figure gives the same text. Every colour is written twice: as drawn, and as `light-dark()` with
    its counterpart. Browsers without `light-dark()` keep the first.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches="tight",
            transparent=True,
            metadata={"Date": None, "Creator": None},
        )
    drawn = buffer.getvalue()
    if len(drawn) > LARGEST_SVG:
        return ""
    return _themed(drawn[drawn.index("<svg") :].strip())


def _themed(svg: str) -> str:
    """The drawing with a counterpart of every colour for the dark; text without a colour is in ink."""

    def both(found: re.Match[str]) -> str:
        name, colour = found["name"], found["colour"]
        return f"{name}: {colour}; {name}: light-dark({colour}, {in_the_dark(colour)})"

    return _COLOUR.sub(both, _FOREIGN.sub("", svg)).replace("<svg ", '<svg fill="currentColor" ', 1)


def in_the_dark(colour: str) -> str:
    """The counterpart of `#rrggbb` on a dark page: greys are mirrored, colours lightened until they show.

    A grey is a line, a letter or paper. A colour keeps its hue and saturation, and reaches `MIN_CONTRAST`.
    """
    red, green, blue = _parts(colour)
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if max(red, green, blue) - min(red, green, blue) < 0.12:
        lowest = _parts(DARK_PAPER)[1]
        mirrored = lowest + (1 - lightness) * (0.92 - lowest)
        return _hex(colorsys.hls_to_rgb(hue, mirrored, saturation))
    while contrast(_hex(colorsys.hls_to_rgb(hue, lightness, saturation)), DARK_PAPER) < MIN_CONTRAST:
        lightness += 0.02
    return _hex(colorsys.hls_to_rgb(hue, min(lightness, 1.0), saturation))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, definition of contrast ratio)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _parts(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parts(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _hex(parts: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
