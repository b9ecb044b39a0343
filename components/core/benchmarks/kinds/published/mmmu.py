"""MMMU (arXiv 2311.16502): options by letter, open numbers to two decimals, open texts by occurrence."""

from __future__ import annotations

import re
from dataclasses import replace

from components.core.answers import parse_number, read_number
from components.core.answers.folding import fold
from components.core.answers.options import option_texts
from components.core.benchmarks.base import BenchmarkItem, parse_list
from components.core.benchmarks.kinds import choice
from components.core.benchmarks.reading import answer_line, score_closed, values_of
from components.core.benchmarks.rules import UNREAD, Item, Rules, Scored

PROMPT = """\
{{ question }}
{% if answer_type == "choice" %}
Answer with the option's letter from the given choices directly.
{% else %}
Answer the question using a single word, phrase or number.
{% endif %}
"""


def build(item: Item, row: BenchmarkItem) -> Item:
    if item.choices:
        return choice.build(item, row)
    answers = tuple(parse_list(row.answer) or (row.answer,))
    return replace(item, answers=answers, answer_type="number" if all(map(_is_number, answers)) else "span")


def score(response: str, item: Item) -> Scored:
    if item.answer_type == "choice":
        return score_closed(response, item, by_value=True)
    if item.answer_type == "number":
        quantity, stage = read_number(response, item.question)
        if quantity is None:
            return UNREAD
        right = any(
            round(value, 2) == round(number.value, 2)
            for value in values_of(quantity)
            for number in map(parse_number, item.answers)
            if number
        )
        return Scored(quantity.text, stage, float(right))
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    right = bool(option_texts(item.answers).found(line))
    return Scored(line, "exact" if marked or fold(line) in map(fold, item.answers) else "rules", float(right))


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[-+−]?[\d.,/\s]*\d\s*%?\s*", text)) and parse_number(text) is not None


RULES = Rules(build, {"mmmu": PROMPT}, score, names="mmmu", rank=2)
