"""Relaxed accuracy of ChartQA (arXiv 2203.10244): numbers within 5 %, texts equal, lists entry by entry."""

from __future__ import annotations

from dataclasses import replace

from components.core.answers import read_number, relaxed_accuracy
from components.core.benchmarks.base import BenchmarkItem, parse_list
from components.core.benchmarks.reading import answer_line, entries, is_number, values_of
from components.core.benchmarks.rules import UNREAD, Item, ReadBy, Rules, Scored


def build(item: Item, row: BenchmarkItem) -> Item:
    """One reference: a list is itself the answer to a question for several things."""
    return replace(item, answers=(row.answer.strip(),), answer_type="span")


def score(response: str, item: Item) -> Scored:
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    found_line: ReadBy = "exact" if marked else "rules"
    if (targets := parse_list(item.reference)) is not None:
        said = entries(line, targets)
        right = len(said) == len(targets) and all(
            relaxed_accuracy(a, b) == 1.0 for a, b in zip(said, targets, strict=True)
        )
        return Scored(line, found_line, float(right))
    best = relaxed_accuracy(line, item.reference)
    quantity, stage = read_number(response, item.question)
    if quantity is None or not is_number(item.reference):
        return Scored(line, found_line, best)
    if best == 0.0:
        spellings = (quantity.text, *(f"{value:.12g}" for value in values_of(quantity)[1:]))
        best = max(relaxed_accuracy(number, item.reference) for number in spellings)
    return Scored(quantity.text, found_line if quantity.text == line else stage, best)


PROMPT = "{{ question }}\nAnswer the question using a single word, phrase or number.\n"
RULES = Rules(build, {"relaxed_accuracy": PROMPT}, score, judge="", names=r"chartqa(?!pro)", rank=8)
