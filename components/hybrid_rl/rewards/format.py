"""Form of a response, and guards against the ways in which a policy games a checker of answers."""

from __future__ import annotations

import re
from collections import Counter

from .rollout import Rollout

MARKER = re.compile(r"answer\s*:", re.IGNORECASE)
_LETTER = re.compile(r"\b([A-Z])\b")


def repeats(text: str, ngram_words: int = 4) -> int:
    """Most times that one n-gram of words occurs in the text; 0 for a text shorter than one n-gram."""
    words = text.lower().split()
    grams = Counter(tuple(words[i : i + ngram_words]) for i in range(len(words) - ngram_words + 1))
    return max(grams.values(), default=0)


def lists_all_choices(text: str, choices: tuple[str, ...]) -> bool:
    """Whether an answer names every option, by letter or by text: such an answer contains the right one always."""
    if len(choices) < 2:
        return False
    letters = {chr(ord("A") + i) for i in range(len(choices))}
    if letters <= set(_LETTER.findall(text)):
        return True
    patterns = [rf"(?<!\w){re.escape(choice.strip().lower())}(?!\w)" for choice in choices]
    return all(re.search(pattern, text.lower()) for pattern in patterns)


def names_several_letters(text: str, choices: tuple[str, ...]) -> bool:
    """Whether an answer names two options or more by their letters: "A or B" is no choice."""
    letters = {chr(ord("A") + i) for i in range(len(choices))}
    return len(letters & set(_LETTER.findall(text))) > 1


def hedges_yes_no(text: str) -> bool:
    """Whether an answer says both yes and no."""
    return {"yes", "no"} <= set(re.findall(r"\w+", text.lower()))


def _final(response: str) -> str:
    """What stands after the last answer marker; the whole response without one."""
    return MARKER.split(response)[-1]


GUARDS = ("empty", "repetition", "several_answers", "several_choices", "yes_and_no")


def guard(rollout: Rollout, max_ngram_repeats: int = 3, ngram_words: int = 4) -> str:
    """The guard that a response trips, one of `GUARDS`; "" for none."""
    final = _final(rollout.response)
    if not rollout.answer.strip():
        return "empty"
    if repeats(rollout.response, ngram_words) > max_ngram_repeats:
        return "repetition"
    if len(MARKER.findall(rollout.response)) > 1:
        return "several_answers"
    if rollout.answer_type == "choice" and (
        names_several_letters(final, rollout.choices) or lists_all_choices(final, rollout.choices)
    ):
        return "several_choices"
    return "yes_and_no" if rollout.answer_type == "yes_no" and hedges_yes_no(final) else ""


def well_formed(rollout: Rollout, max_ngram_repeats: int = 3, ngram_words: int = 4) -> float:
    """1.0 for a finished response with an answer of its type that trips no guard, else 0.0."""
    return float(not rollout.truncated and not guard(rollout, max_ngram_repeats, ngram_words))
