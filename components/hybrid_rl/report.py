"""Report of the stage: curves over the steps, and rollouts of the first and the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.core.data.image_store import ImageStore
from components.core.stage.report import Report, figure_axes, histogram
from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards.asked.gaming import GAMING
from components.hybrid_rl.rollouts.guards import GUARDS
from components.hybrid_rl.rollouts.prompts import Prompt
from components.hybrid_rl.rollouts.record import Steps

_SHOWN_ROLLOUTS = 8


def write_report(
    report: Report,
    config: Config,
    rated: Sequence[Prompt],
    chosen: Sequence[Prompt],
    history: Sequence[dict[str, Any]],
    rollouts: Steps,
    store: ImageStore,
) -> None:
    """Fill the report.

    Args:
        rated: candidates with the starting policy's pass rates.
        chosen: the ones trained on.
        history: one log entry a step.
        rollouts: kept rollouts by step.
    """
    steps = [entry for entry in history if "pass_at_1" in entry]
    report.text(
        f"{len(steps)} steps of {config.prompts_per_step} questions × {config.group_size} rollouts; "
        f"objective {config.objective}, advantage {config.advantage}, loss {config.loss}."
    )
    report.heading("Questions")
    report.text(
        f"{len(chosen)} of {len(rated)} candidates were chosen by the starting policy's pass rate: a "
        "question that it always or never solves gives a group without variance, and teaches nothing."
    )
    rates = [prompt.pass_rate for prompt in rated if prompt.pass_rate >= 0]
    if rates:
        labels = ("pass rate of the starting policy", "questions")
        bins = np.linspace(0, 1, config.prompts.pass_rate_samples + 2)
        histogram(report, rates, "Pass rates of the candidates.", labels=labels, height=2.4, bins=bins)
    report.heading("Training")
    signals = sorted(name for name in steps[-1] if name.startswith("signal_")) if steps else []
    pass_rates = "Share of right rollouts (pass@1), and of groups where one of k is right (pass@k)"
    curves = {
        pass_rates: ["pass_at_1", "pass_at_k"],
        "Mean raw reward by component": [name.replace("signal_", "reward_", 1) for name in signals],
        "Mean size of each component's weighted advantage": signals,
        "Mean response length in tokens": ["response_tokens"],
        "Distinct answers in a group": ["distinct_clusters"],
        "Share of groups with the pass@k advantage, and of the exploring that is done": (
            ["exploring", "explored"] if config.advantage in ("pass_at_k_then_1", "adaptive") else []
        ),
        "Entropy over the meanings of a group's answers": ["answer_entropy"],
        "Share of responses that trip a guard": [f"guard_{kind}" for kind in (*GUARDS, *GAMING)],
        "Entropy of the policy per token": ["entropy"],
        "Share of importance ratios clipped": ["clip_ratio/low_mean", "clip_ratio/high_mean"],
        "Reverse KL divergence to the teacher, in nats a token": ["teacher_kl"],
        "KL divergence to the start": ["kl"] if config.kl_coefficient else [],
    }
    for caption, names in curves.items():
        _curve(report, steps, names, caption)
    if rollouts:
        report.heading("Rollouts")
        for title, (step, rows) in (("first", rollouts[0]), ("last", rollouts[-1])):
            report.text(f"The {title} kept step, {step}:")
            report.images([(store.get(row["image_id"]), _caption(row)) for row in rows[:_SHOWN_ROLLOUTS]])


def smooth(values: Sequence[float | None], window: int) -> np.ndarray:
    """Running mean over the last `window` values without missing ones; NaN where all are missing."""
    result = []
    for end in range(1, len(values) + 1):
        recent = [v for v in values[max(0, end - window) : end] if v is not None and not np.isnan(v)]
        result.append(np.mean(recent) if recent else np.nan)
    return np.array(result)


def _curve(report: Report, steps: Sequence[dict[str, Any]], names: Sequence[str], caption: str) -> None:
    shown = [name for name in names if any(entry.get(name) is not None for entry in steps)]
    if not shown:
        return
    window = max(1, len(steps) // 20)
    figure, axes = figure_axes(height=2.6)
    places = [entry["step"] for entry in steps]
    for name in shown:
        label = name.removeprefix("reward_").removeprefix("signal_")
        axes.plot(places, smooth([entry.get(name) for entry in steps], window), label=label)
    axes.set_xlabel("step")
    if len(shown) > 1:
        axes.legend(fontsize=8, frameon=False)
    report.figure(figure, f"{caption}; mean over {window} steps.")


def _caption(row: dict[str, Any]) -> str:
    verdict = "right" if row["correct"] else f"wrong, expected {row['reference']}"
    said = f"{row['question']}\n→ {row['response']}\n{verdict}"
    return f"{said}; {row['tokens']} tokens; advantage {row['advantage']:+.2f}"
