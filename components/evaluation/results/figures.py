"""Plots of the evaluation's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.core.stage.report import figure_axes
from components.core.stats import Estimate, PairedComparison
from components.evaluation.results.confusion import Confusion

_BAR, _INK, _WORSE, _BETTER = "#7fa8d1", "#1c2430", "#b5403a", "#2b7a4b"


def accuracy_bars(categories: Mapping[str, Estimate]) -> Any:
    """Accuracy by category with its intervals as whiskers."""
    estimates, rows = categories.values(), range(len(categories))
    figure, axes = figure_axes(7.0, 0.6 + 0.32 * len(rows))
    whiskers = [[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]]
    axes.barh(rows, [e.value for e in estimates], xerr=whiskers, color=_BAR, ecolor=_INK, capsize=2)
    axes.set_yticks(rows, [f"{name} (n = {estimate.n})" for name, estimate in categories.items()])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="accuracy")
    return figure


def difference_plot(categories: Mapping[str, PairedComparison]) -> Any:
    """Differences by category with their intervals; coloured where the interval leaves 0 out."""
    figure, axes = figure_axes(7.0, 0.6 + 0.32 * len(categories))
    for row, paired in enumerate(categories.values()):
        estimate = paired.difference
        colour = _BETTER if estimate.low > 0 else _WORSE if estimate.high < 0 else _BAR
        axes.plot([100 * estimate.low, 100 * estimate.high], [row, row], color=colour, linewidth=2)
        axes.plot(100 * estimate.value, row, "o", color=colour)
    axes.axvline(0, color=_INK, linewidth=0.8)
    labels = [f"{name} (n = {paired.difference.n})" for name, paired in categories.items()]
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("difference in points, with interval")
    return figure


def confusion_plot(matrix: Confusion) -> Any:
    """Counts as a heat map; shade is the share of the row."""
    size = len(matrix.categories)
    figure, axes = figure_axes(1.6 + 0.55 * size, 1.1 + 0.45 * size)
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix.counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _write_cells(axes, [[str(count) for count in row] for row in matrix.counts], shares)
    axes.set_xticks(range(size), matrix.categories)
    axes.set_yticks(range(size), matrix.categories)
    axes.set(xlabel="said", ylabel="true")
    return figure


def needle_plot(table: Mapping[str, Any]) -> Any:
    """Accuracy by length of the haystack and depth of the needle, a table of `needle_table`."""
    lengths, depths, accuracy = table["lengths"], table["depths"], table["accuracy"]
    figure, axes = figure_axes(1.8 + 0.7 * len(depths), 1.2 + 0.45 * len(lengths))
    shown = [[float("nan") if value is None else value for value in row] for row in accuracy]
    axes.imshow(shown, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    texts = [["" if value is None else f"{100 * value:.0f}" for value in row] for row in accuracy]
    _write_cells(axes, texts, [[0.0] * len(depths)] * len(lengths))
    axes.set_xticks(range(len(depths)), [f"{depth:.0%}" for depth in depths])
    axes.set_yticks(range(len(lengths)), [f"{length:,}" for length in lengths])
    axes.set(xlabel="depth of the needle", ylabel="length")
    return figure


def _write_cells(axes: Any, texts: Sequence[Sequence[str]], shades: Sequence[Sequence[float]]) -> None:
    for y, row in enumerate(texts):
        for x, text in enumerate(row):
            colour = "white" if shades[y][x] > 0.6 else _INK
            axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=9)
