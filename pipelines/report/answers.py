"""Answers before and after training, side by side with their pictures: items whose outcome changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from components.core.data.even_draw import draw_evenly
from components.core.stage.report import Report
from pipelines.report.items import RIGHT, Answers, Key, scored_answers, show_items

COMPARED = ("base", "sft_1_domain", "hybrid_rl")
SHOWN = 8


def changed_answers(root: Path) -> Report | None:
    """Items that training changed, below a run's directory; None until the compared models are evaluated.

    Outcomes are shown with the models' answers, for three kinds of item: learned, forgotten by domain
    training and restored later, lost.
    """
    folders = {label: root / "outputs" / f"evaluation_{label}" / "predictions" for label in COMPARED}
    if not all(folder.is_dir() for folder in folders.values()):
        return None
    said = {label: scored_answers(folder) for label, folder in folders.items()}
    groups: dict[str, Callable[[bool, bool, bool], bool]] = {
        "Learned: wrong before training, right at the end": lambda base, _, final: final and not base,
        "Restored: right before training, wrong after domain training, right at the end": (
            lambda base, domain, final: base and final and not domain
        ),
        "Lost: right before training, wrong at the end": lambda base, _, final: base and not final,
    }
    report = Report("answers before and after")
    for title, changed in groups.items():
        report.heading(title)
        show_items(report, root, choose(said, changed), said, "No such item.")
    return report


def choose(said: Mapping[str, Answers], changed: Callable[[bool, bool, bool], bool]) -> list[Key]:
    """Up to `SHOWN` items with the change, of many categories: a fixed pseudo-random choice."""
    common = set.intersection(*(set(answers) for answers in said.values()))
    found = [key for key in common if changed(*(said[label][key]["score"] >= RIGHT for label in COMPARED))]
    categories = said[COMPARED[0]]
    return draw_evenly(
        found, SHOWN, kind=lambda key: str(categories[key]["category"]), key="/".join, seed=("answers",)
    )
