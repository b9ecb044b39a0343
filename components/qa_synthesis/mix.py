"""What an image's first drafts should be about: pure functions from scores and shares to whole numbers of items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from components.qa_synthesis.config import AnswerType

ASPECTS = {
    "subject_diversity": "subjects, objects and their attributes",
    "spatial_relationships": "positions and spatial relations",
    "ocr_text_richness": "text and numbers to read",
    "world_knowledge": "meaning, purpose and world knowledge",
}
"""Dimension of information density -> what a question about it asks for, as the prompt says it."""
ANYTHING = "anything else worth asking"


def apportion(shares: Sequence[float], total: int, offset: float) -> list[int]:
    """Split `total` items by `shares` without bias: systematic sampling (Madow 1949).

    With C_k the cumulative share of `total`, part k gets floor(C_k + u) - floor(C_{k-1} + u). Each part is within one
    item of its exact share, and over uniform offsets u it is the exact share on average: images with few items still
    add up to the mix, which rounding every image alike would not.

    Args:
        shares: not negative and not all 0; only the ratios matter.
        total: items to split.
        offset: u, in [0, 1).

    Returns:
        A whole number for each share; their sum is `total`.
    """
    whole = math.fsum(shares)
    if whole <= 0 or min(shares) < 0:
        raise ValueError(f"shares must not be negative and not all 0: {list(shares)}")
    counts, given = [], 0
    for k in range(1, len(shares) + 1):
        # The last bound is exact, so that no rounding error of the sum can lose an item.
        bound = (
            total
            if k == len(shares)
            else min(total, math.floor(total * math.fsum(shares[:k]) / whole + offset))
        )
        counts.append(bound - given)
        given = bound
    return counts


def aspects(scores: Mapping[str, float], total: int, steered_share: float, offset: float) -> dict[str, int]:
    """How many items to ask for by aspect, in proportion to an image's dimension scores.

    Args:
        scores: dimension -> score from 0 to 10, for every key of `ASPECTS`; where all are 0, nothing is steered.
        total: items of the image.
        steered_share: share of them that follow the scores; the rest are about anything.
        offset: see `apportion`.

    Returns:
        What to ask about -> items, only where at least one; {} if nothing is steered.
    """
    rated = [max(0.0, scores[name]) for name in ASPECTS]
    if not steered_share or not sum(rated):
        return {}
    steered = [steered_share * score / sum(rated) for score in rated]
    counts = apportion([*steered, 1 - steered_share], total, offset)
    return {text: n for text, n in zip((*ASPECTS.values(), ANYTHING), counts, strict=True) if n}


def absent(share: float, total: int, offset: float) -> int:
    """How many items to ask for about something that is not there; `offset` as in `apportion`."""
    return apportion([share, 1 - share], total, offset)[0]


def answer_types(mix: Mapping[AnswerType, float], total: int, offset: float) -> dict[str, int]:
    """How many items to ask for by answer type; {} if no mix is set."""
    if not mix:
        return {}
    counts = apportion(list(mix.values()), total, offset)
    return {name: n for name, n in zip(mix, counts, strict=True) if n}
