"""Report of promotion: the verdict, the table metric × stage, and the same as a plot with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.core.stage.report import Report, figure_axes
from components.promotion.criteria import Finding
from components.promotion.scores import METRICS

TOKENS = "mean_response_tokens"


def write_report(
    report: Report,
    verdict: Mapping[str, Any],
    registered: Mapping[str, Any],
    findings: Sequence[Finding],
    summary: Mapping[str, Any],
) -> None:
    """Fill `report`."""
    report.heading("Verdict: " + ("passed" if verdict["passed"] else "did not pass"))
    against = "base" + (f" and version {verdict['incumbent']}" if verdict["incumbent"] else "")
    report.text(
        f"Judged against {against}. Registered as {registered['uri']}. Pointer: {registered['pointer']}; "
        f"current version: {registered['current'] or 'none'}."
    )
    report.table([_finding_row(finding) for finding in findings])
    report.text(
        "Differences are final model minus reference over the same items, in points; intervals are clustered "
        "by picture. p: exact McNemar test (items), exact sign flips (pictures)."
    )
    if figure := _forest(findings):
        report.figure(figure, "Differences with intervals; the red mark is what each criterion asks for.")
    report.heading("What every training stage did")
    report.table(
        {"stage": row["stage"], **{metric: _cell(metric, row[metric]) for metric in METRICS}}
        for row in summary["rows"]
    )
    report.text("Shares in percent, response length in tokens; intervals in brackets, n items.")
    if figure := _plot(summary):
        report.figure(figure, "Every metric by stage, with its interval.")


def _cell(metric: str, measure: Mapping[str, Any] | None) -> str:
    """Value, interval and number of items."""
    if measure is None:
        return "not measured"
    value, low, high = (f"{_scale(metric) * measure[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}] n={measure['n']}"


def _scale(metric: str) -> int:
    """Shares are shown in percent, response length in tokens."""
    return 1 if metric == TOKENS else 100


def _finding_row(finding: Finding) -> dict[str, Any]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    interval = "" if finding.low is None else f"[{number(finding.low)}, {number(finding.high)}]"
    tests = "" if finding.p_value is None else f"{finding.p_value:.2g}, {finding.p_value_clustered:.2g}"
    return {
        "criterion": finding.name,
        "outcome": {True: "pass", False: "fail", None: "skipped"}[finding.passed],
        "rule": finding.rule,
        "reference": number(finding.reference_value),
        "final": number(finding.candidate_value),
        "measured": number(finding.measured),
        "interval": interval,
        "n": finding.n or "",
        "gained / lost": "" if finding.gained is None else f"{finding.gained} / {finding.lost}",
        "p": tests,
        "note": finding.note,
    }


def _forest(findings: Sequence[Finding]) -> Any:
    """Difference, interval and threshold of every paired criterion; None when there is none."""
    paired = [f for f in findings if f.low is not None and f.high is not None and f.measured is not None]
    if not paired:
        return None
    figure, axes = figure_axes(7.2, 0.5 * len(paired) + 1.1)
    for place, finding in enumerate(reversed(paired)):
        colour = "#2e7d4f" if finding.passed else "#b3402a"
        axes.plot([finding.low, finding.high], [place, place], color=colour, linewidth=2)
        axes.plot(finding.measured, place, "o", color=colour)
        axes.plot(finding.threshold, place, "|", color="#d01c1c", markersize=16, markeredgewidth=2)
    axes.axvline(0, color="#9aa3ad", linewidth=0.8)
    axes.set_yticks(range(len(paired)), [finding.name for finding in reversed(paired)], fontsize=8)
    axes.set_xlabel("final minus reference (points)")
    axes.set_ylim(-0.7, len(paired) - 0.3)
    return figure


def _plot(summary: Mapping[str, Any]) -> Any:
    """Small multiples, one a measured metric: bars by stage with error bars; None without any metric."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = summary["rows"]
    metrics = [metric for metric in METRICS if any(row[metric] for row in rows)]
    if not metrics:
        return None
    columns = min(3, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    size = (3.6 * columns, 2.8 * lines)
    figure, grid = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    for axes, metric in zip(grid.flat, metrics, strict=False):
        measured = {index: row[metric] for index, row in enumerate(rows) if row[metric]}
        scale = _scale(metric)
        values = [scale * m["value"] for m in measured.values()]
        # A bootstrap interval of very few items may leave the estimate just outside: no negative error bars.
        below = [max(0.0, scale * (m["value"] - m["low"])) for m in measured.values()]
        above = [max(0.0, scale * (m["high"] - m["value"])) for m in measured.values()]
        axes.bar(list(measured), values, yerr=[below, above], capsize=3, color="#7aa6d6", ecolor="#1c2430")
        axes.set_xticks(range(len(rows)), [row["stage"] for row in rows], rotation=30, ha="right", fontsize=8)
        axes.set_title(metric.replace("_", " ") + ("" if metric == TOKENS else " (%)"), fontsize=10)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
