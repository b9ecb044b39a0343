"""Self-contained HTML reports: headings, tables, plots and pictures in one file that opens anywhere.

The body is one `<main data-fragment="...">` element. So the reports of a run can be joined into one page.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from components.core.data.data_uri import data_uri
from components.core.stage.report.figures import figure_axes, figure_svg

STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

LONG_WORD = 24
"""Characters from which a word in a table may break, at the signs that it has."""
_SIGN = re.compile(r"([/_,:=@](?=\w)|[.-](?=[a-zA-Z]{3}))")


class Report:
    """Collects parts in order; `write` makes one HTML file with nothing outside it. All text is escaped."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """A section heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """A table whose columns are the keys of the first row; numbers are aligned right.

        A cell of type `Markup` is ready-made HTML, e.g. a link; every other text is escaped.
        """
        rows = list(rows)
        if not rows:
            self.text("(no rows)")
            return
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
        lines = ("".join(_cell(row.get(name, "")) for name in rows[0]) for row in rows)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        self._parts.append(f'<div class="scroll" tabindex="0">{table}</div>')

    def figure(self, figure: Any, caption: str = "") -> None:
        """A matplotlib figure, embedded as SVG (as PNG if it has very many points) and closed."""
        import matplotlib.pyplot as plt

        text = html.escape(caption)
        if svg := figure_svg(figure):
            drawn = f'<div class="scroll" role="img" aria-label="{text[:120]}">{svg}</div>'
            self._parts.append(f'<figure class="chart">{drawn}<figcaption>{text}</figcaption></figure>')
        else:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
            self._parts.append(_figure(buffer.getvalue(), caption))
        plt.close(figure)

    def images(self, items: Sequence[tuple[bytes, str]]) -> None:
        """A grid of encoded images with captions."""
        figures = "".join(_figure(data, caption) for data, caption in items)
        self._parts.append(f'<div class="grid">{figures}</div>')

    def details(self, title: str, body: str | Report) -> None:
        """A folded part with a paragraph, or with another report's parts, inside."""
        inner = "".join(body._parts) if isinstance(body, Report) else f"<p>{html.escape(body)}</p>"
        self._parts.append(f"<details><summary>{html.escape(title)}</summary>{inner}</details>")

    def download(self, label: str, filename: str, content: str | bytes) -> None:
        """A link that saves `content` under `filename`; the content is part of the page."""
        data = content.encode() if isinstance(content, str) else content
        uri = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
        name = html.escape(filename)
        self._parts.append(f'<p><a download="{name}" href="{uri}">{html.escape(label)}</a></p>')

    def markup(self, ready: Markup) -> None:
        """Ready-made HTML, in which every text is escaped: `Markup("...").format(text)` does it."""
        self._parts.append(str(ready))

    def fragment(self) -> str:
        """The report's `<main>` element."""
        title, parts = html.escape(self.title), "\n".join(self._parts)
        return f'<main data-fragment="{title}"><h1>{title}</h1>{parts}</main>'

    def write(self, path: Path) -> None:
        """Write the report as a page of its own."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(self.title, [self.fragment()]), encoding="utf-8")


def page(title: str, fragments: Sequence[str], navigation: str = "", script: str = "") -> str:
    """One HTML document around `<main>` fragments; `script` is JavaScript that it can lack."""
    ending = f"<script>\n{script}</script>" if script else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>\n{STYLE}</style></head>'
        f"<body>{navigation}{''.join(fragments)}{ending}</body></html>\n"
    )


def _cell(value: Any) -> str:
    if isinstance(value, Markup):
        return f"<td>{value}</td>"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"<td>{breakable(str(value))}</td>"
    return f'<td class="number">{value:{"," if isinstance(value, int) else ".4g"}}</td>'


def breakable(text: str) -> str:
    """A text escaped for a table: its words stay whole, a long path or hash may break where it has a sign."""
    return " ".join(
        _SIGN.sub(r"\1<wbr>", html.escape(word)) if len(word) > LONG_WORD else html.escape(word)
        for word in text.split(" ")
    )


def _figure(data: bytes, caption: str) -> str:
    text, alt = html.escape(caption), html.escape(caption[:120])
    return f'<figure><img src="{data_uri(data)}" alt="{alt}"><figcaption>{text}</figcaption></figure>'


def histogram(
    report: Report,
    values: Sequence[float],
    caption: str,
    *,
    labels: tuple[str, str],
    threshold: float | None = None,
    height: float = 3.2,
    **bins: Any,
) -> None:
    """Add a histogram of `values`, with a dashed line at `threshold`; `labels` name the axes."""
    figure, axes = figure_axes(height=height)
    axes.hist(values, color="#1f5fa8", **bins)
    if threshold is not None:
        axes.axvline(threshold, color="#b03030", linestyle="--", linewidth=1)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    report.figure(figure, caption)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, to download; the columns are the keys of the first row."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
