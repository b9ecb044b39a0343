"""The stage's report: the images' density, with examples, and their questions."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.core.stage.report import Report, figure_axes
from components.ids_scoring.budget import DIMENSIONS, MAX_SCORE

_EXAMPLES = 4


def example_positions(ids: np.ndarray) -> dict[str, list[int]]:
    """Positions of some images of low, middle and high density, from the ends and around the median."""
    order = np.argsort(ids, kind="stable").tolist()
    count = min(_EXAMPLES, len(order))
    starts = {"low": 0, "middle": (len(order) - count) // 2, "high": len(order) - count}
    return {name: order[start : start + count] for name, start in starts.items()}


def write_report(
    report: Report,
    scorer: str,
    scores: np.ndarray,
    ids: np.ndarray,
    questions: np.ndarray,
    examples: dict[str, list[tuple[bytes, str]]],
    rejected: int,
) -> None:
    """Fill the report.

    Args:
        scorer: its name.
        scores: (n, 4), columns as `DIMENSIONS`; `ids` and `questions` are (n,).
        examples: (image, caption) of low, middle and high density.
        rejected: images that could not be scored.
    """
    report.text(
        f"{len(ids):,} images scored by {scorer}, {rejected:,} rejected. Mean density {ids.mean():.2f}; "
        f"{int(questions.sum()):,} questions allotted, {questions.mean():.2f} an image."
    )
    report.heading("Information density")
    figure, axes = figure_axes()
    axes.hist(ids, bins=np.linspace(0, MAX_SCORE, 41), color="#1f5fa8")
    axes.set_xlabel("Information Density Score")
    axes.set_ylabel("images")
    axes.set_xlim(0, MAX_SCORE)
    report.figure(figure, "Distribution of the Information Density Score")
    columns = dict(zip((*DIMENSIONS, "ids"), (*scores.T, ids), strict=True))
    report.table([_dimension(name, values) for name, values in columns.items()])
    report.heading("Questions allotted")
    values, counts = np.unique(questions, return_counts=True)
    report.table([{"questions": int(v), "images": int(c)} for v, c in zip(values, counts, strict=True)])
    for name, images in examples.items():
        report.heading(f"Images of {name} density")
        report.images(images)


def _dimension(name: str, values: np.ndarray) -> dict[str, Any]:
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    quantiles = {"10 %": float(low), "median": float(median), "90 %": float(high)}
    return {"dimension": name, "mean": float(values.mean()), **quantiles}
