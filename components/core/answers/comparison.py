"""When are two answers the same? Canonical forms, agreement, and the metrics of text and chart benchmarks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.core.answers.extraction import AnswerType
from components.core.answers.folding import fold
from components.core.answers.numbers import canonical, numbers_agree, parse_number
from components.core.answers.options import choice_letter
from components.core.answers.yes_no import yes_or_no

_DIGIT_RUNS = re.compile(r"\d+")


def normalise(text: str, answer_type: AnswerType, choices: Sequence[str] = ()) -> str:
    """The canonical form of an answer, "" if it is none of its type: equal forms are the same answer.

    choice -> upper-case letter; number -> decimal string without unit; yes_no -> "yes" or "no"; span, open ->
    folded text (NFKC, case, punctuation, articles).
    """
    if answer_type == "choice":
        return choice_letter(text, choices)
    if answer_type == "number":
        quantity = parse_number(text)
        return canonical(quantity.value) if quantity else ""
    if answer_type == "yes_no":
        return yes_or_no(text)
    return fold(text)


def agree(
    a: str,
    b: str,
    answer_type: AnswerType,
    choices: Sequence[str] = (),
    *,
    tolerance: float | None = None,
    anls_threshold: float = 0.85,
) -> bool:
    """Whether two answers say the same. Symmetric; a text that is no answer of its type agrees with nothing.

    Numbers: relative `tolerance`; by default whole numbers must be equal and others may differ by 0.1 %.
    Spans, open answers: equal once folded, or similar by ANLS >= `anls_threshold` with the same digits.
    """
    if answer_type == "number":
        number_a, number_b = parse_number(a), parse_number(b)
        return bool(number_a and number_b and numbers_agree(number_a, number_b, tolerance))
    form_a = normalise(a, answer_type, choices)
    form_b = normalise(b, answer_type, choices)
    if not form_a or not form_b:
        return False
    if form_a == form_b:
        return True
    if answer_type not in ("span", "open") or _DIGIT_RUNS.findall(form_a) != _DIGIT_RUNS.findall(form_b):
        return False
    return anls(form_a, [form_b]) >= anls_threshold


def answer_kind(answer_type: AnswerType, answer: str) -> str:
    """The answer's type; "yes" and "no" are types of their own.

    Questions are drawn evenly over these: a model trained mostly on one of the two learns to give it always.
    """
    return f"yes_no {normalise(answer, 'yes_no')}" if answer_type == "yes_no" else answer_type


def anls(prediction: str, references: Sequence[str], threshold: float = 0.5) -> float:
    """Average normalised Levenshtein similarity of one item, in [0, 1] (Biten et al., ICCV 2019, eq. 1).

    s = max over references of 1 - NL, where NL = distance / length of the longer text; 0 where NL >=
    `threshold`. Case and runs of white space do not count, as in the evaluations of ST-VQA and DocVQA.
    """
    best = 0.0
    first = " ".join(prediction.lower().split())
    for reference in references:
        second = " ".join(reference.lower().split())
        longest = max(len(first), len(second))
        if first == second:
            return 1.0
        # The distance is at least the difference in length.
        if abs(len(first) - len(second)) >= threshold * longest:
            continue
        distance = edit_distance(first, second) / longest
        if distance < threshold:
            best = max(best, 1.0 - distance)
    return best


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance in O(len(b)) operations on integers of len(a) bits (Myers 1999; Hyyrö 2003)."""
    if len(a) > len(b):
        a, b = b, a
    if not a:
        return len(b)
    positions: dict[str, int] = {}
    for i, char in enumerate(a):
        positions[char] = positions.get(char, 0) | (1 << i)
    full, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    plus, minus, distance = full, 0, len(a)
    for char in b:
        equal = positions.get(char, 0)
        diagonal = (((equal & plus) + plus) ^ plus) | equal | minus
        horizontal_plus = minus | ~(diagonal | plus) & full
        horizontal_minus = plus & diagonal
        if horizontal_plus & last:
            distance += 1
        elif horizontal_minus & last:
            distance -= 1
        horizontal_plus = (horizontal_plus << 1 | 1) & full
        horizontal_minus = (horizontal_minus << 1) & full
        plus = horizontal_minus | ~(diagonal | horizontal_plus) & full
        minus = horizontal_plus & diagonal
    return distance


def relaxed_accuracy(prediction: str, target: str, tolerance: float = 0.05) -> float:
    """ChartQA's relaxed accuracy, 1.0 or 0.0 (Masry et al., 2022, arXiv 2203.10244, section 5).

    A number may differ from the target by `tolerance` relative to it (a target of zero asks for zero). A
    target that is more than one number with its unit is compared as folded text.
    """
    number, predicted = parse_number(target), parse_number(prediction)
    if number is None or len(fold(target)) > len(fold(number.text)) + 1:
        return float(fold(prediction) == fold(target) != "")
    if predicted is None:
        return 0.0
    wanted, got = number.value, predicted.value
    if number.unit == "%" and predicted.unit != "%" and abs(got) <= 1 < abs(wanted):
        got *= 100
    return float(abs(got - wanted) <= tolerance * abs(wanted))
