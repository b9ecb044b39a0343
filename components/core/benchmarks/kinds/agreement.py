"""Agreement: right if the answer agrees with the reference by its type, as in voting and training."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from components.core.answers import AnswerType, agree, extract_staged, normalise
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.kinds import choice
from components.core.benchmarks.rules import UNREAD, Item, Rules, Scored


def build(item: Item, row: BenchmarkItem) -> Item:
    stated = row.answer_type or ("choice" if item.choices else "span")
    if stated not in get_args(AnswerType):
        raise ValueError(f"answer type {stated!r} is none of {', '.join(get_args(AnswerType))}")
    answer_type: AnswerType = stated  # type: ignore[assignment]
    if not normalise(row.answer, answer_type, item.choices):
        raise ValueError(f"{row.answer!r} is no answer of type {answer_type}")
    return replace(item, answers=(row.answer,), answer_type=answer_type)


def score(response: str, item: Item) -> Scored:
    answer, stage = extract_staged(response, item.answer_type, item.choices, item.question)
    if not answer:
        return UNREAD
    return Scored(answer, stage, float(agree(answer, item.reference, item.answer_type, item.choices)))


RULES = Rules(
    build,
    {
        **choice.RULES.prompts,
        "number": "{{ question }}\nAnswer with a single number.\n",
        "yes_no": "{{ question }}\nPlease answer yes or no.\n",
        "span": "{{ question }}\nAnswer the question using a single word or phrase.\n",
        "open": "{{ question }}\nAnswer the question in one sentence.\n",
    },
    score,
)
