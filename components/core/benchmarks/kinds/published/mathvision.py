"""MathVision: the option, or the same formula or value within 1e-6 (Wang et al. 2024, arXiv 2402.14804)."""

from __future__ import annotations

import re
from dataclasses import replace

from components.core.answers import read_number
from components.core.benchmarks import formula
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.kinds import choice
from components.core.benchmarks.reading import answer_line, boxed, score_closed, spoken
from components.core.benchmarks.rules import UNREAD, Item, Rules, Scored

PROMPT = """\
{{ question }}
Solve the problem step by step.
{% if answer_type == "choice" %}
Put the letter of the correct option in \\boxed{} at the end.
{% else %}
Put the final answer, without unit, in \\boxed{} at the end.
{% endif %}
"""
_SAID = re.compile(r"(?:\b(?:is|are|equals)\s+|[是为]\s*)(\S.{0,60}?)\s*[.。]?\s*$")
"""What a last sentence says of its subject: "The ratio is 3:2"."""


def build(item: Item, row: BenchmarkItem) -> Item:
    if item.choices:
        return choice.build(item, row)
    return replace(item, answers=(row.answer.strip(),), answer_type="span", form="formula")


def score(response: str, item: Item) -> Scored:
    if item.answer_type == "choice":
        return score_closed(response, item, by_value=True)
    inner = boxed(spoken(response))
    marked, line = answer_line(response)
    text = inner if inner is not None else line
    if not text:
        return UNREAD
    exact = marked or formula.value(formula.plain(text)) is not None
    if formula.equal(text, item.reference):
        return Scored(text, "exact" if exact else "rules", 1.0)
    if "=" in text and formula.equal(text.rsplit("=", 1)[1], item.reference):
        return Scored(text.rsplit("=", 1)[1].strip(), "rules", 1.0)
    if exact:
        return Scored(text, "exact", 0.0)
    if (said := _SAID.findall(text)) and formula.equal(said[-1], item.reference):
        return Scored(said[-1].strip(), "rules", 1.0)
    quantity, stage = read_number(response, item.question)
    if quantity is None:
        return UNREAD
    return Scored(quantity.text, stage, float(formula.equal(quantity.text, item.reference)))


RULES = Rules(build, {"mathvision": PROMPT}, score, names="mathvision", rank=5)
