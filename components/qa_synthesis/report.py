"""The stage's report: counts, verdicts of the evolution rounds, reasons of rejection, sample images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from components.core.answers import lettered
from components.core.stage.report import Report
from components.qa_synthesis.config import Config
from components.qa_synthesis.evolution import VERDICTS
from components.qa_synthesis.image_question import REASONS, ImageQuestion, evolution

Sample = tuple[bytes, Sequence[ImageQuestion]]
"""An image and its items, to show."""


def write_report(report: Report, counts: Counter[str], samples: Sequence[Sample], config: Config) -> None:
    """Fill the report from the stage's counts and some images with their items."""
    report.heading("Question-answer items")
    report.text(
        f"{counts['items']} items about {counts['images_with_items']} of {counts['images']} images, "
        f"written by {config.endpoint.model}; {counts['items_asked']} were asked for, "
        f"{counts['rejected']} rows were rejected."
    )
    report.table([{"answer type": t, "items": counts[f"type_{t}"]} for t in config.answer_types])
    rounds = range(config.evolution_rounds + 1)
    report.table([{"version from round": r, "items": counts[f"round_{r}"]} for r in rounds])
    if config.evolution_rounds:
        report.heading("Evolution")
        report.text(
            "Verdict on every new version, by round; all but 'kept' leave the previous version in place."
        )
        report.table({"round": r, **{v: counts[f"evolution_{r}_{v}"] for v in VERDICTS}} for r in rounds[1:])
    if counts["paths_sampled"]:
        report.heading("Reasoning paths")
        with_path, without = counts["reasoning_sampled"], counts["reasoning_no_correct_path"]
        report.text(
            f"{counts['paths_sampled']} paths to {with_path + without} verifiable items: "
            f"{counts['paths_correct'] / counts['paths_sampled']:.1%} end with the item's answer, "
            f"{counts['paths_malformed']} are malformed, {counts['paths_missing']} were not given. "
            f"{without} items have no correct path and keep the reasoning that they had."
        )
    if counts["rejected"]:
        report.heading("Rejected")
        report.table([{"reason": r, "rows": n} for r in REASONS if (n := counts[f"rejected_{r}"])])
    if samples:
        report.heading("Examples")
    for image, items in samples:
        report.images([(image, f"{len(items)} items")])
        report.table(
            {
                "question": " ".join([item.question, *lettered(item.choices)]),
                "answer": item.answer,
                "type": item.answer_type,
                "round": item.round,
                "verdicts": ", ".join(f"{e['direction']}: {e['verdict']}" for e in evolution(item.history)),
            }
            for item in items
        )
