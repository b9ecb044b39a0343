"""The run's report: the stages' reports joined into one self-contained page, and the summary table."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from components.core.data.files import write_json_atomic
from components.core.stage.errors import DataError
from components.core.stage.report import Report, figure_axes, page
from components.stages import TASKS, title_of
from pipelines.report.answers import changed_answers
from pipelines.report.changes import changed_questions
from pipelines.report.overview import named, overview

_SCRIPT = Path(__file__).with_suffix(".js")
_FRAGMENT = re.compile(r'<main data-fragment="[^"]*"><h1>.*?</h1>(.*</main>)', flags=re.DOTALL)
_TOKENS = "mean_response_tokens"
_SHARES = {
    "domain_accuracy": "domain %",
    "general_accuracy": "general %",
    "hallucination_rate": "hallucination %",
    "pass_at_1": "pass@1 %",
    "pass_at_8": "pass@8 %",
}
_HEADINGS = {**_SHARES, _TOKENS: "tokens"}


def conclude(root: Path, say: Callable[[str], None]) -> None:
    """Write a run's report and, where there is one, its summary; say the table and where they are."""
    summary = load_summary(root)
    if summary is not None:
        say("\n" + summary_text(summary))
        say(f"summary: {write_summary(root, summary)}")
        say(f"picture: {write_picture(root, summary)}")
    say(f"report:  {write_report(root)}")


def load_summary(root: Path) -> dict[str, Any] | None:
    """The table stage x metric that promotion wrote; None when the run has not got that far.

    Raises:
        DataError: the file is damaged.
    """
    verdict = load_verdict(root)
    return None if verdict is None else dict(verdict["summary"])


def load_verdict(root: Path) -> dict[str, Any] | None:
    """What promotion wrote: verdict, criteria, summary; None when the run has not got that far.

    Raises:
        DataError: the file is damaged.
    """
    path = root / "outputs" / "promotion" / "verdict"
    if not path.is_file():
        return None
    try:
        verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        verdict["summary"]["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: holds no summary; run promotion again with --from promotion") from error
    return verdict


def write_summary(root: Path, summary: Mapping[str, Any]) -> Path:
    """Write summary.json beside the report."""
    path = root / "summary.json"
    write_json_atomic(path, dict(summary))
    return path


def write_picture(root: Path, summary: Mapping[str, Any]) -> Path:
    """Draw the shares over the stages, with their intervals, beside the report."""
    path = root / "stages.png"
    measured = [name for name in _SHARES if any(row.get(name) for row in summary["rows"])]
    figure = _curves(summary["rows"], measured, "percent")
    figure.savefig(path, dpi=120, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    figure.clear()
    return path


def summary_rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The summary as cells of text: estimate, interval, number of items. Shares are in percent."""
    titles = {name: metric_title(name) for name in summary["columns"]}
    return [
        {"stage": row["stage"], **{title: metric_cell(name, row[name]) for name, title in titles.items()}}
        for row in summary["rows"]
    ]


def summary_text(summary: Mapping[str, Any]) -> str:
    """The summary as a Markdown table that also reads well on a terminal."""
    rows = summary_rows(summary)
    names, *cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    table = [names, ["-" * width for width in widths], *cells]
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in table)


def write_report(root: Path) -> Path:
    """Join the tasks' reports, in the order of the pipeline, into `root/report.html`."""
    verdict = load_verdict(root)
    head = overview(root, verdict)
    parts: dict[str, str] = {"overview": head.fragment()}
    if verdict is not None:
        parts["result"] = _result(verdict["summary"]).fragment()
    answers = changed_answers(root)
    if answers is not None:
        parts["answers before and after"] = answers.fragment()
    changed = changed_questions(root)
    if changed is not None:
        parts[changed.title] = changed.fragment()
    for task in TASKS:
        report = root / "outputs" / task / "report"
        if report.is_file():
            parts[task] = _fragment(report, task)
    anchors = {name: name.replace(" ", "-") for name in parts}
    body = [f'<div id="{anchors[name]}">{fragment}</div>' for name, fragment in parts.items()]
    links = {name: f'<a href="#{to}">{html.escape(title_of(name))}</a>' for name, to in anchors.items()}
    ours = "".join(link for name, link in links.items() if name not in TASKS)
    stages = "".join(link for name, link in links.items() if name in TASKS)
    folded = f"<details><summary>stages</summary>{stages}</details>" if stages else ""
    path = root / "report.html"
    written = page(head.title, body, f"<nav>{ours}{folded}</nav>", _SCRIPT.read_text(encoding="utf-8"))
    path.write_text(written, encoding="utf-8")
    return path


def _result(summary: Mapping[str, Any]) -> Report:
    report = Report("result")
    report.text(
        "What every training stage did, measured on the same held-out items: estimate, 95 % interval, number "
        "of items. Shares in percent; hallucination is the share of wrong claims about absent objects, lower "
        "is better."
    )
    titles = {name: metric_title(name) for name in summary["columns"]}
    report.table(
        {"stage": named(row["stage"])} | {title: _measure(name, row[name]) for name, title in titles.items()}
        for row in summary["rows"]
    )
    for metrics, label in ((tuple(_SHARES), "percent"), ((_TOKENS,), "tokens")):
        measured = [name for name in metrics if any(row.get(name) for row in summary["rows"])]
        if measured:
            caption = f"{label} over the stages; whiskers are intervals"
            report.figure(_curves(summary["rows"], measured, label), caption)
    return report


def _curves(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], label: str) -> Any:
    """Metrics over the stages, each with its intervals."""
    figure, axes = figure_axes(7.5, 3.4)
    scale = 1 if label == "tokens" else 100
    for shift, name in enumerate(metrics):
        points = [(i, row[name]) for i, row in enumerate(rows) if row.get(name)]
        value, low, high = (np.array([m[key] for _, m in points]) for key in ("value", "low", "high"))
        reach = [scale * (value - low), scale * (high - value)]
        places = [i + 0.05 * (shift - len(metrics) / 2) for i, _ in points]
        title = metric_title(name).removesuffix(" %")
        axes.errorbar(places, scale * value, yerr=reach, marker="o", capsize=2, linewidth=1.2, label=title)
    axes.set_xticks(range(len(rows)), [textwrap.fill(title_of(row["stage"]), 16) for row in rows], fontsize=9)
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def metric_title(name: str) -> str:
    """A metric's name for people, as a column's heading."""
    return _HEADINGS.get(name, f"{name.replace('_', ' ')} %")


def _measure(metric: str, measure: Mapping[str, Any] | None) -> Markup:
    """A cell whose interval is never broken."""
    estimate, _, rest = metric_cell(metric, measure).partition(" [")
    if not rest:
        return Markup("{}").format(estimate)
    interval, _, count = rest.partition("] ")
    return Markup('<b>{}</b> <small class="whole">[{}]</small> <small>{}</small>').format(
        estimate, interval, count
    )


def metric_cell(metric: str, measure: Mapping[str, Any] | None) -> str:
    """An estimate, its interval and the number of items; shares in percent."""
    if measure is None:
        return "not measured"
    scale = 1 if metric == _TOKENS else 100
    value, low, high = (f"{scale * measure[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}] n={measure['n']}"


def _fragment(path: Path, task: str) -> str:
    """The `<main>` of a stage's report, under the task's name."""
    found = _FRAGMENT.search(path.read_text(encoding="utf-8"))
    if found is None:
        raise DataError(f"{path}: has no report fragment; run the task again with --from {task}")
    heading = f"{html.escape(title_of(task))} <small><code>{html.escape(task)}</code></small>"
    return f'<main data-fragment="{task}"><h1>{heading}</h1>{found[1]}'
