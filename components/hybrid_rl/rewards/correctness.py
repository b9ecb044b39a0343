"""Verifiable correctness: 1 when the extracted answer agrees with the voted one, by answer type."""

from __future__ import annotations

from components.core import answers

from .format import guard
from .rollout import Rollout


def correctness(rollout: Rollout, max_ngram_repeats: int = 3, ngram_words: int = 4) -> float:
    """1.0 when right, else 0.0.

    The comparison is the voting filter's own (`components.core.answers.agree`), so that what was voted right is rewarded
    as right. A response that trips a guard (`format.guard`) is never right, whatever it contains.
    """
    if guard(rollout, max_ngram_repeats, ngram_words):
        return 0.0
    return float(answers.agree(rollout.answer, rollout.reference, rollout.answer_type, list(rollout.choices)))
