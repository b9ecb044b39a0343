"""Metrics and the HTML report of one training stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from components.core.stage.context import StageContext
from components.core.stage.report import figure_axes
from components.core.vlm.messages import parts_of, words
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.mixture import answer_share, token_ratio
from components.curriculum_sft.data.samples import Row, count_answers
from components.curriculum_sft.training.fit import Fitted
from components.curriculum_sft.training.probes import PREFIX, Asked

_CURVES = {
    "loss": ("loss",),
    "learning rate": ("learning_rate",),
    "rewards of the chosen and the rejected response": ("rewards/chosen", "rewards/rejected"),
    "share of pairs ranked right": ("rewards/accuracies",),
    "divergence from the teacher (nats a token)": ("divergence",),
    "tokens of a sampled answer": ("completions/mean_length",),
}
_FINAL = {"rewards/accuracies": "pairs_ranked_right", "mean_token_accuracy": "token_accuracy"}


def write_report(
    ctx: StageContext,
    config: Config,
    rows: list[Row],
    bad: list[Row],
    fitted: Fitted,
    pictures: Any,
    asked: Sequence[Asked] = (),
) -> None:
    """Fill the stage's metrics and report; `asked` are rows with the answers before and after."""
    logged = [entry for entry in fitted.history if "loss" in entry]
    ctx.metrics |= {
        "steps": fitted.steps,
        "samples": len(rows),
        "rejected": len(bad),
        "tokens_per_s": round(fitted.tokens_per_s, 1),
        "tokens": sum(row["length"] for row in rows),
        "tokens_trained": fitted.tokens,
    }
    if logged:
        ctx.metrics |= {"loss_first": logged[0]["loss"], "loss_final": logged[-1]["loss"]}
        if "grad_norm" in logged[0]:
            ctx.metrics["grad_norm_first"] = logged[0]["grad_norm"]
        ctx.metrics |= {name: logged[-1][key] for key, name in _FINAL.items() if key in logged[-1]}
    if config.objective != "dpo":
        ctx.metrics |= {
            "answers": sum(map(count_answers, rows)),
            "domain_answer_share": round(answer_share(rows), 4),
            "text_image_ratio": round(token_ratio(rows), 4),
        }
    report = ctx.report
    report.heading("What was trained on")
    report.table(_sources(rows))
    if bad:
        reasons = Counter(row["reason"] for row in bad)
        report.table([{"rejected because": name, "rows": count} for name, count in reasons.most_common()])
    report.heading("Training")
    for title, keys in _CURVES.items():
        _curve(report, logged, keys, title)
    probed = dict.fromkeys(key for entry in fitted.history for key in entry if key.startswith(PREFIX))
    _curve(report, fitted.history, probed, "loss on the same few samples of every source", "nats a token")
    if asked:
        report.heading("Answers before and after")
        report.images([(pictures.get(one.row["image_ids"][0]), _answers(one)) for one in asked])
    report.heading("Samples")
    shown = _shown(rows, config.report_samples)
    report.images([(pictures.get(row["image_ids"][0]), _caption(row)) for row in shown])


def _sources(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows and tokens of every source and set, the largest first."""
    total = max(sum(row["length"] for row in rows), 1)
    sets: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        sets.setdefault((row["source"], row.get("set", "")), []).append(row)
    return [
        {
            "source": source,
            "set": name,
            "rows": len(own),
            "share": len(own) / len(rows),
            "tokens": sum(row["length"] for row in own),
            "share of tokens": sum(row["length"] for row in own) / total,
            "vision tokens": sum(row["vision_tokens"] for row in own),
        }
        for (source, name), own in sorted(sets.items(), key=lambda item: -len(item[1]))
    ]


def _curve(report: Any, log: list[dict[str, float]], keys: Iterable[str], title: str, axis: str = "") -> None:
    """A figure of the logged values under `keys`, if there are any."""
    lines = {key: [(entry["step"], entry[key]) for entry in log if key in entry] for key in keys}
    if not any(lines.values()):
        return
    figure, axes = figure_axes(height=2.6)
    for key, points in lines.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=key.removeprefix(PREFIX))
    axes.set(xlabel="step", ylabel=axis or (title if len(lines) == 1 else ""))
    if axis or len(lines) > 1:
        axes.legend(frameon=False)
    report.figure(figure, title)


def _answers(one: Asked) -> str:
    question = f"[{one.row['source']}] {one.question}"
    return f"{question}\nbefore: {one.before}\nafter: {one.after}\ntrained on: {one.reference}"


def _shown(rows: list[Row], count: int) -> list[Row]:
    """A few rows of every source, in turn."""
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        if row["image_ids"]:
            by_source.setdefault(row["source"], []).append(row)
    return [row for turn in zip_longest(*by_source.values()) for row in turn if row][:count]


def _caption(row: Row) -> str:
    if "why" in row:
        return f"[{row['why']}] {row['prompt']}\n+ {row['chosen']}\n- {row['rejected']}"
    lines = [f"[{row['source']}]"]
    for message in json.loads(row["messages"])[:8]:
        lines.append(("Q: " if message["role"] == "user" else "A: ") + words(parts_of(message)))
    return "\n".join(lines)
