"""The head of a run's page: what was run, when, on which hardware, at what cost, and the verdict first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from components.core.data.pins import split_pin
from components.core.stage.report import Report
from components.stages import TASKS, title_of
from pipelines.local.record import load_record

_ITEM = Markup("<li>{}</li>")
_FACT = Markup("<dt>{}</dt><dd>{}</dd>")


def named(name: str) -> Markup:
    """A task or model as people say it, and its identifier."""
    return Markup("{} <code>{}</code>").format(title_of(name), name)


def overview(root: Path, verdict: Mapping[str, Any] | None) -> Report:
    """The head of the page of the run below `root`; `verdict` is promotion's, None before it was judged."""
    record, metrics = load_record(root), task_metrics(root)
    report = Report(run_title(verdict, record))
    report.markup(_verdict(verdict) if verdict and "passed" in verdict else _unfinished(metrics))
    facts = [*_what(root, record, metrics), *_when_and_where(record), *_cost(record, metrics)]
    listed = Markup("").join(_FACT.format(name, value) for name, value in facts)
    report.markup(Markup('<dl class="facts">{}</dl>').format(listed))
    return report


def run_title(verdict: Mapping[str, Any] | None, record: Mapping[str, Any]) -> str:
    """What was run and when, in one line."""
    of = f" for {str(verdict['domain']).replace('_', ' ')}" if verdict and verdict.get("domain") else ""
    profile = f", profile {record['profile']}" if record.get("profile") else ""
    day = f", {_day(record['ended'])}" if record.get("ended") else ""
    return f"Post-training{of}{profile}{day}"


def task_metrics(root: Path) -> dict[str, dict[str, float]]:
    """Task -> its metrics, for the tasks whose metrics can be read."""
    found = {}
    for task in TASKS:
        path = root / "outputs" / task / "metrics"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a page without one task's numbers is better than no page
            continue
        found[task] = {name: value for name, value in values.items() if isinstance(value, (int, float))}
    return found


def _verdict(verdict: Mapping[str, Any]) -> Markup:
    criteria: Sequence[Mapping[str, Any]] = verdict.get("criteria", [])
    failed = [c for c in criteria if c["passed"] is False]
    met = [str(c["name"]).replace("_", " ") for c in criteria if c["passed"]]
    said = "Passed: this model meets every criterion" if verdict["passed"] else "Did not pass the gate"
    reasons = Markup("").join(_ITEM.format(_reason(criterion)) for criterion in failed)
    other = Markup("<p>Met: {}.</p>").format(", ".join(met)) if met else Markup("")
    return Markup('<div class="verdict {}"><strong>{}</strong><ul>{}</ul>{}<p>{}</p></div>').format(
        "passed" if verdict["passed"] else "failed", said, reasons, other, _registered(verdict)
    )


def _reason(criterion: Mapping[str, Any]) -> str:
    """Why a criterion is not met: its rule, and what was measured, in points."""
    name = str(criterion["name"]).replace("_", " ")
    measured = criterion.get("measured")
    note = str(criterion.get("note") or "")
    found = (note or "not measured") if measured is None else f"measured {measured:+.1f}"
    if measured is not None and criterion.get("low") is not None:
        found += f" [{criterion['low']:+.1f}, {criterion['high']:+.1f}]"
    if criterion.get("n"):
        found += f" on {criterion['n']} questions"
    remark = f" ({note})" if note and measured is not None else ""
    return f"{name}: {criterion['rule']}; {found}{remark}"


def _registered(verdict: Mapping[str, Any]) -> str:
    registered = verdict.get("registry") or {}
    if not registered.get("version"):
        return "Not registered."
    current = registered.get("current")
    serving = f"version {current} is current" if current else "no version is current"
    return f"Registered as version {registered['version']}; {serving}."


def _unfinished(metrics: Mapping[str, Any]) -> Markup:
    done = f"{len(metrics)} of {len(TASKS)} tasks have ended"
    return Markup('<div class="verdict"><strong>Not judged yet</strong><p>{}.</p></div>').format(done)


def _what(
    root: Path, record: Mapping[str, Any], metrics: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, str]]:
    base = root / "outputs" / "preflight" / "base_model"
    if base.is_file():
        path, digest = split_pin(base.read_text(encoding="utf-8").strip())
        yield "Base model", f"{path.name}{f' ({digest[:12]})' if digest else ''}"
    counts = {
        "pictures": metrics.get("image_ingest", {}).get("kept"),
        "questions written": metrics.get("qa_synthesis", {}).get("items"),
        "kept by the vote": metrics.get("voting_filter", {}).get("kept"),
    }
    counted = [f"{value:,.0f} {name}" for name, value in counts.items() if value is not None]
    if counted:
        yield "Data", ", ".join(counted)


def _when_and_where(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if record.get("started"):
        yield "When", f"{_minute(record['started'])} to {_minute(record['ended'])} UTC"
    if machine := record.get("machine"):
        gpus = machine.get("gpus") or []
        several = f"{len(gpus)} × {gpus[0]}" if gpus else "no GPU"
        cores = f"{machine['cores']} cores of {machine['processor']}"
        yield "Hardware", f"{cores}, {machine['memory_gib']:.0f} GiB memory, {several}"


def _cost(record: Mapping[str, Any], metrics: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str]]:
    tasks: Mapping[str, Mapping[str, float]] = record.get("tasks") or metrics
    seconds = sum(task.get("seconds", 0.0) for task in tasks.values())
    cpu = sum(task.get("cpu_seconds", 0.0) for task in tasks.values())
    gpu = sum(task.get("seconds", 0.0) * task.get("gpus", 0) for task in tasks.values())
    used = [f"{seconds / 60:,.1f} minutes of tasks"]
    used += [f"{cpu / 60:,.1f} CPU-minutes"] if cpu else []
    used += [f"{gpu / 3600:,.2f} GPU-hours"] if gpu else []
    yield "Cost", ", ".join(used)
    asked = {
        kind: sum(_sum(values, f"_{kind}") for values in metrics.values())
        for kind in ("prompt_tokens", "completion_tokens", "requests")
    }
    if asked["requests"]:
        tokens = f"{asked['prompt_tokens']:,.0f} tokens sent, {asked['completion_tokens']:,.0f} answered"
        yield "Models asked", f"{tokens}, in {asked['requests']:,.0f} requests"


def _sum(values: Mapping[str, float], ending: str) -> float:
    return sum(value for name, value in values.items() if name.endswith(ending))


def _day(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%-d %B %Y")


def _minute(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M")
