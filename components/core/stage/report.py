"""Self-contained HTML reports: headings, tables, plots and pictures in one file that opens anywhere.

The body is one `<main data-fragment="...">` element, so that the reports of a run can be joined into one page.
"""

from __future__ import annotations

import base64
import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.data.data_uri import data_uri

STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --accent: #1f5fa8; --paper: #fff; --shade: #f5f7fa; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--shade); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1060px; margin: 1.5rem auto; padding: 1.25rem 2rem; background: var(--paper);
       border: 1px solid var(--line); border-radius: 8px; }
h1 { font-size: 1.5rem; margin: .2rem 0 1rem; } h2 { font-size: 1.15rem; margin: 1.6rem 0 .5rem; color: var(--accent); }
p { margin: .4rem 0; max-width: 75ch; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:not(.number) { overflow-wrap: anywhere; min-width: 8ch; }
th { background: var(--shade); font-weight: 600; }
figure { margin: .8rem 0; } figure > img { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .85rem; white-space: pre-line; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: .9rem; }
.grid figure { margin: 0; padding: .5rem; border: 1px solid var(--line); border-radius: 6px; background: var(--shade); }
.grid img { width: 100%; max-height: 200px; object-fit: contain; image-rendering: pixelated; background: #fff; }
details { margin: .25rem 0 .25rem .9rem; } summary { cursor: pointer; }
nav { max-width: 1060px; margin: 1.5rem auto 0; } nav a { display: inline-block; margin-right: 1rem; color: var(--accent); }
"""


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
        """A table whose columns are the keys of the first row; numbers are aligned right."""
        rows = list(rows)
        if not rows:
            self.text("(no rows)")
            return
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
        body = "".join(
            "<tr>" + "".join(_cell(row.get(name, "")) for name in rows[0]) + "</tr>" for row in rows
        )
        self._parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def figure(self, figure: Any, caption: str = "") -> None:
        """A matplotlib figure, embedded as PNG and closed."""
        import matplotlib.pyplot as plt

        buffer = io.BytesIO()
        figure.savefig(
            buffer,
            format="png",
            dpi=110,
            bbox_inches="tight",
            metadata={"Software": None},
        )
        plt.close(figure)
        self._parts.append(_figure(buffer.getvalue(), caption))

    def images(self, items: Sequence[tuple[bytes, str]]) -> None:
        """A grid of encoded images with captions."""
        self._parts.append(
            '<div class="grid">' + "".join(_figure(data, caption) for data, caption in items) + "</div>"
        )

    def details(self, title: str, body: str | Report) -> None:
        """A folded part with a paragraph, or with another report's parts, inside."""
        inner = "".join(body._parts) if isinstance(body, Report) else f"<p>{html.escape(body)}</p>"
        self._parts.append(f"<details><summary>{html.escape(title)}</summary>{inner}</details>")

    def download(self, label: str, filename: str, content: str | bytes) -> None:
        """A link that saves `content` under `filename`; the content is part of the page."""
        data = content.encode() if isinstance(content, str) else content
        uri = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
        name = html.escape(filename, quote=True)
        self._parts.append(f'<p><a download="{name}" href="{uri}">{html.escape(label)}</a></p>')

    def fragment(self) -> str:
        """The report's `<main>` element."""
        return (
            f'<main data-fragment="{html.escape(self.title, quote=True)}"><h1>{html.escape(self.title)}</h1>'
            + "\n".join(self._parts)
            + "</main>"
        )

    def write(self, path: Path) -> None:
        """Write the report as a page of its own."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(self.title, [self.fragment()]), encoding="utf-8")


def page(title: str, fragments: Sequence[str], navigation: str = "") -> str:
    """One HTML document around `<main>` fragments."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{navigation}{''.join(fragments)}</body></html>\n"
    )


def figure_axes(width: float = 7.0, height: float = 3.2) -> tuple[Any, Any]:
    """A matplotlib figure and its axes, drawn without a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"<td>{html.escape(str(value))}</td>"
    return (
        f'<td class="number">{value:,}</td>'
        if isinstance(value, int)
        else f'<td class="number">{value:.4g}</td>'
    )


def _figure(data: bytes, caption: str) -> str:
    text = html.escape(caption)
    alt = html.escape(caption[:120], quote=True)
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
    """Add a histogram of `values`, with a dashed line at `threshold`; `labels` name the axes, `bins` is matplotlib's."""
    figure, axes = figure_axes(height=height)
    axes.hist(values, color="#1f5fa8", **bins)
    if threshold is not None:
        axes.axvline(threshold, color="#b03030", linestyle="--", linewidth=1)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    report.figure(figure, caption)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, to download; the columns are the keys of the first row."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
