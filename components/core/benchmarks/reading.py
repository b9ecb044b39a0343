"""The short answer in a response to a benchmark, and the scores of options and yes/no.

Builds on `components.core.answers`, which reads the answers of voters and of trained models alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.core.answers import Quantity, extract_staged, find_numbers, normalise, parse_number
from components.core.answers.extraction import Stage
from components.core.answers.marks import boxed, final_text, marked, spoken
from components.core.answers.options import LETTERS, choice_letter
from components.core.benchmarks import formula
from components.core.benchmarks.rules import UNREAD, Item, Scored

__all__ = [
    "answer_line",
    "boxed",
    "entries",
    "final_text",
    "is_number",
    "score_closed",
    "spoken",
    "values_of",
]


def answer_line(response: str) -> tuple[bool, str]:
    """Whether a response marks its answer, and the marked line (else the whole text)."""
    found, _ = marked(response)
    return found, extract_staged(response, "span").text


def score_closed(response: str, item: Item, by_value: bool = False) -> Scored:
    """Right or wrong for options and yes/no: the letter or word is the reference.

    Args:
        response: what the model said.
        item: the question.
        by_value: an option may also be named by a formula of the same value, as in mathematical benchmarks.
    """
    answer: str = ""
    stage: Stage = "rules"
    if by_value and boxed(response) is not None and item.answer_type == "choice":
        answer = choice_letter(response, item.choices, stated=True) or _by_value(response, item)
    if not answer:
        answer, stage = extract_staged(response, item.answer_type, item.choices, item.question)
    if not answer and by_value and item.answer_type == "choice":
        answer, stage = _by_value(response, item), "rules"
    if not answer:
        return UNREAD
    said, truth = (normalise(text, item.answer_type, item.choices) for text in (answer, item.reference))
    return Scored(answer, stage, float(said == truth))


def _by_value(response: str, item: Item) -> str:
    """The only option that is the same formula or value as the marked or stated one; "" if none is."""
    inner = boxed(spoken(response))
    found, line = answer_line(response)
    candidates = [inner] if inner is not None else [line] if found or len(line) < 60 else []
    candidates += re.findall(r"\$([^$]+)\$", line)[-1:]
    if quantity := parse_number(line, item.question):
        candidates.append(quantity.text)
    for text in candidates:
        for part in dict.fromkeys((text, text.rsplit("=", 1)[-1])):
            same = [n for n, choice in enumerate(item.choices) if formula.equal(part, choice)]
            if len(same) == 1:
                return LETTERS[same[0]]
    return ""


# ---- numbers and lists ---------------------------------------------------------------------------


def values_of(quantity: Quantity) -> tuple[float, ...]:
    """A quantity's value; with a percent sign also the fraction that it means."""
    return (quantity.value, quantity.value / 100) if quantity.unit in ("%", "percent") else (quantity.value,)


def is_number(text: str) -> bool:
    """Whether a reference is a number, with a sign, separators, a currency or a percent sign at most."""
    return bool(re.fullmatch(r"\s*[-+−]?[$€£¥]?\s*[\d.,]*\d\s*%?\s*", text))


def entries(line: str, targets: Sequence[str]) -> list[str]:
    """Entries of an enumeration, in its last brackets if it has any: numbers if `targets` are, else texts."""
    brackets = re.findall(r"\[([^\[\]]*)\]|\{([^{}]*)\}|\(([^()]*,[^()]*)\)", line)
    inner = next((part for part in brackets[-1] if part), "") if brackets else line
    if all(map(is_number, targets)):
        return [quantity.text for quantity in find_numbers(inner.replace(", ", " ; ").replace("，", " ; "))]
    parts = re.split(r"\s*[,;、，；/]\s*(?:and\s+)?|\s+and\s+|和|以及", inner)
    return [part.strip(" '\"“”.") for part in parts if part.strip(" '\"“”.")]
