"""Confusion matrix of answers from a closed set (yes or no, letters of options), and outcomes by category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from components.core.answers import AnswerType
from components.core.benchmarks.rules import Item, Scored

NONE = "(none)"
"""Stands for a response without an answer."""
_CLOSED: tuple[AnswerType, ...] = ("yes_no", "choice")


class Confusion(NamedTuple):
    """Counts of answers by truth (rows) and by what was said (columns)."""

    categories: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def to_kfp(self) -> dict[str, Any]:
        """Metadata of a `ClassificationMetrics` artifact, as kfp's `log_confusion_matrix` writes it."""
        return {
            "confusionMatrix": {
                "annotationSpecs": [{"displayName": name} for name in self.categories],
                "rows": [{"row": list(row)} for row in self.counts],
            }
        }


def confusion(
    items: Sequence[Item], scored: Sequence[Scored], types: Sequence[AnswerType] = _CLOSED
) -> Confusion:
    """The confusion matrix of all items of the given answer types; empty where there are none."""
    seen = Counter(
        (_name(item.reference, item), _name(answer.extracted, item))
        for item, answer in zip(items, scored, strict=True)
        if item.answer_type in types
    )
    if not seen:
        return Confusion((), ())
    names = {name for pair in seen for name in pair} - {NONE}
    order = (*sorted(names, key=lambda name: (len(name) == 1, name == "no", name)), NONE)
    return Confusion(order, tuple(tuple(seen[true, said] for said in order) for true in order))


def outcomes(items: Sequence[Item], scored: Sequence[Scored], right: float) -> list[dict[str, Any]]:
    """Right, wrong and missing answers by benchmark and category, one row each."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for item, answer in zip(items, scored, strict=True):
        outcome = "right" if answer.score >= right else "wrong" if answer.extracted else "no answer"
        rows.setdefault((item.benchmark, item.category), Counter())[outcome] += 1
    return [
        {"benchmark": benchmark, "category": category}
        | {name: tally[name] for name in ("right", "wrong", "no answer")}
        for (benchmark, category), tally in sorted(rows.items())
    ]


def _name(answer: str, item: Item) -> str:
    return item.normalised(answer) or NONE if answer else NONE
