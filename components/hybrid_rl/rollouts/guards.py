"""Guards against the ways in which a policy games a checker of answers (reward hacking)."""

from __future__ import annotations

import re
from collections import Counter

from components.hybrid_rl.rollouts.rollout import Rollout
from components.hybrid_rl.settings import Guards

GUARDS = ("empty", "repetition", "several_answers", "several_choices", "yes_and_no")
_MARKER = re.compile(r"answer\s*:", re.IGNORECASE)
_LETTER = re.compile(r"\b([A-Z])\b")


def guard(rollout: Rollout, limits: Guards) -> str:
    """The guard that a response trips, one of `GUARDS`; "" for none."""
    final = _MARKER.split(rollout.response)[-1]  # the whole response where there is no marker
    if not rollout.answer.strip():
        return "empty"
    if repeats(rollout.response, limits.ngram_words) > limits.max_ngram_repeats:
        return "repetition"
    if len(_MARKER.findall(rollout.response)) > 1:
        return "several_answers"
    if rollout.answer_type == "choice" and (
        len(_letters(final, rollout.choices)) > 1 or lists_all_choices(final, rollout.choices)
    ):
        return "several_choices"
    if rollout.answer_type == "yes_no" and {"yes", "no"} <= set(re.findall(r"\w+", final.lower())):
        return "yes_and_no"
    return ""


def repeats(text: str, ngram_words: int) -> int:
    """Most times that one n-gram of words occurs in the text; 0 for a text shorter than one n-gram."""
    words = text.lower().split()
    grams = Counter(tuple(words[i : i + ngram_words]) for i in range(len(words) - ngram_words + 1))
    return max(grams.values(), default=0)


def lists_all_choices(text: str, choices: tuple[str, ...]) -> bool:
    """Whether an answer names every option, by letter or by text: it always contains the right one."""
    if len(choices) < 2:
        return False
    if len(_letters(text, choices)) == len(choices):
        return True
    patterns = [rf"(?<!\w){re.escape(choice.strip().lower())}(?!\w)" for choice in choices]
    return all(re.search(pattern, text.lower()) for pattern in patterns)


def _letters(text: str, choices: tuple[str, ...]) -> set[str]:
    """Letters of options that a text names: more than one are no choice."""
    return {chr(ord("A") + i) for i in range(len(choices))} & set(_LETTER.findall(text))
