"""Judged open answers: right if word for word a reference; the judge decides on all others."""

from __future__ import annotations

from dataclasses import replace

from components.core.answers.folding import fold
from components.core.benchmarks.base import BenchmarkItem, parse_list
from components.core.benchmarks.reading import answer_line
from components.core.benchmarks.rules import UNREAD, Item, Rules, Scored


def build(item: Item, row: BenchmarkItem) -> Item:
    return replace(item, answers=tuple(parse_list(row.answer) or (row.answer,)), answer_type="open")


def score(response: str, item: Item) -> Scored:
    _, line = answer_line(response)
    if line and fold(line) in map(fold, item.answers):
        return Scored(line, "exact", 1.0)
    return UNREAD


RULES = Rules(build, {"judged": "{{ question }}\n"}, score, judge="decides")
