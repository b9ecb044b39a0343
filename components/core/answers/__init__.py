"""Short answers of vision-language models: extract them from a response, normalise them, compare them.

Voting, reinforcement learning and evaluation judge answers by these functions alone, so "the same answer"
means the same to all of them. Everything here is pure and needs only the standard library.
"""

from __future__ import annotations

from components.core.answers.comparison import agree, anls, answer_kind, normalise, relaxed_accuracy
from components.core.answers.extraction import AnswerType, extract, extract_staged, read_number
from components.core.answers.numbers import Quantity, find_numbers, parse_number
from components.core.answers.options import lettered
from components.core.answers.question import Question

__all__ = [
    "AnswerType",
    "Quantity",
    "Question",
    "agree",
    "anls",
    "answer_kind",
    "extract",
    "extract_staged",
    "find_numbers",
    "lettered",
    "normalise",
    "parse_number",
    "read_number",
    "relaxed_accuracy",
]
