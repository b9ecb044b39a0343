"""From responses to scores: by the rules of the kind, then by a judge where one is named; circular groups.

`score` is pure and takes what rules can read; `score_all` has a judge read the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from components.core.benchmarks.kinds import rules_of
from components.core.benchmarks.rules import UNREAD, Item, Scored

if TYPE_CHECKING:
    from components.evaluation.scoring.judge import Judge

__all__ = ["UNREAD", "Scored", "Unit", "aggregate", "score", "score_all"]


class Unit(NamedTuple):
    """What counts once: an item, or all rotations of a circular one."""

    indices: tuple[int, ...]
    """Places of its items in the list of all items."""
    item: Item
    """The first of them."""
    score: float


def score(response: str, item: Item) -> Scored:
    """Score a response by its item's kind; one in which no answer is found scores 0 with stage none."""
    return rules_of(item.kind).score(response, item)


def score_all(items: Sequence[Item], responses: Sequence[str], judge: Judge | None = None) -> list[Scored]:
    """Scores of all responses, in order: by the rules, then by the judge for those that rules cannot read.

    Args:
        items, responses: of the same length.
        judge: reads the rest; None leaves it at score 0 with stage none. Empty responses are never judged.

    Raises:
        StageError: the judge does not answer, or too many of its answers are unusable.
    """
    scored = [score(response, item) for item, response in zip(items, responses, strict=True)]
    if judge is None:
        return scored
    unread = [
        i
        for i, found in enumerate(scored)
        if found.stage == "none" and rules_of(items[i].kind).judge and responses[i].strip()
    ]
    found = judge.read([items[i] for i in unread], [responses[i] for i in unread])
    for i, judged in zip(unread, found, strict=True):
        scored[i] = judged
    return scored


def aggregate(items: Sequence[Item], scored: Sequence[Scored]) -> list[Unit]:
    """Units in order of first appearance: a circular group is right only if all its rotations are."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault((item.benchmark, item.group or item.item_id), []).append(index)
    return [
        Unit(tuple(indices), items[indices[0]], min(scored[i].score for i in indices))
        for indices in groups.values()
    ]
