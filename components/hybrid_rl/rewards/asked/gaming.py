"""Guards against the ways in which a policy games a judge: what a response may not win by.

Models that judge prefer long answers (length bias: arXiv 2306.05685, section 3.3) and are moved by praise and
by instructions in the answer (arXiv 2402.14016). Each guard is a plain rule over the words. A response that
trips one has quality 0, and the judge is not asked about it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

from components.core.answers.folding import fold
from components.hybrid_rl.rollouts.rollout import Rollout

GAMING = ("padded", "flattery", "instruction", "copied")
_LONGEST_COPY, _COPIED_SHARE = 4, 0.5
_PRAISE = re.compile(
    r"\b((great|good|excellent|wonderful|fascinating|interesting|brilliant) (question|prompt|picture|image)"
    r"|thank(s| you) for (asking|the|your|this)\b|(glad|happy|pleased) (you asked|to help)"
    r"|i hope (this|that|it) helps"
    r"|(this|my|the) (answer|response) (is|was) (\w+ )?(correct|right|perfect|excellent|complete|accurate)"
    r"|(perfect|flawless|outstanding|excellent|best possible) (answer|response)"
    r"|as an? (\w+ )?(expert|professional|specialist)|i am (certain|confident|sure) that"
    r"|you are (so |very )?(right|smart|kind|clever))\b",
    re.IGNORECASE,
)
_INSTRUCTION = re.compile(
    r"(ignore|disregard|forget) (all|any|the|your|previous|prior|above)\b"
    r"|\b(give|award|grant|deserves?|assign)\b.{0,30}\b(score|points?|marks?|credit|10|ten)\b"
    r"|\b(score|rating|grade|marks?|correct|complete|clear)\b[\"']?\s*[:=]\s*[\"']?(\d|true|full)"
    r"|\b(10|ten) ?(/|out of) ?(10|ten)\b|</?(response|answer|system|rubric|judge)\w*>"
    r"|\b(judge|grader|evaluator|rubric)\b",
    re.IGNORECASE,
)

_GRADING = frozenset(
    ("score", "point", "points", "mark", "marks", "credit", "rating", "grade", "judge", "grader", "evaluator",
     "rubric", "correct", "complete", "clear")
)  # fmt: skip
"""Words of grading that a question may ask for."""


def gamed(rollout: Rollout, max_words: int) -> str:
    """The guard that an answer to an open question trips, one of `GAMING`; "" for none."""
    if len(rollout.response.split()) > max_words:
        return "padded"
    if _PRAISE.search(rollout.response):
        return "flattery"
    # A question about a score, or a judge, is answered in these words.
    asked = _words(rollout.question) & _GRADING
    if any(not _words(found[0]) & asked for found in _INSTRUCTION.finditer(rollout.response)):
        return "instruction"
    return "copied" if copies(rollout.response, rollout.question) else ""


def _words(text: str) -> set[str]:
    return set(fold(text).split())


def copies(response: str, question: str) -> bool:
    """Whether a response is mostly one piece of its question: over half of its words, at least four."""
    said, asked = fold(response).split(), fold(question).split()
    run = longest_run(said, asked)
    return run >= _LONGEST_COPY and run > _COPIED_SHARE * len(said)


def longest_run(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest run of words that stands in both texts."""
    lengths: dict[tuple[int, int], int] = {}
    for i, j in product(range(len(a)), range(len(b))):
        if a[i] == b[j]:
            lengths[i, j] = lengths.get((i - 1, j - 1), 0) + 1
    return max(lengths.values(), default=0)
