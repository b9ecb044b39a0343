"""Find the short answer in a model's response, by the answer's type and without asking another model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from components.core.answers.folding import EDGE
from components.core.answers.marks import answer_mark, before_next_question, marked, spoken, tagged, unboxed
from components.core.answers.numbers import Quantity, first_number, parse_number
from components.core.answers.options import choice_letter
from components.core.answers.yes_no import yes_or_no

AnswerType = Literal["choice", "number", "yes_no", "span", "open"]
Stage = Literal["exact", "rules", "none"]


_SHORT_LINE = 4
"""Words of a line that is an answer by itself, not a paragraph."""


class Extraction(NamedTuple):
    """An extracted answer and how it was found."""

    text: str
    """The answer, "" if there is none."""
    stage: Stage
    """exact: the response marks its answer or is nothing else; rules: found in running text."""


def extract(response: str, answer_type: AnswerType, choices: Sequence[str] = (), question: str = "") -> str:
    """The short answer of `response`: what it marks ("Answer:", 答案：, a box), else by `answer_type`.

    choice -> the letter; number -> the one number that is stated, with its unit; yes_no -> "yes" or "no";
    span, open -> the text. "" means that no answer was found, also when the response ends right after
    "Answer:". The `question`, if given, tells which of several numbers or options is meant.
    """
    return extract_staged(response, answer_type, choices, question).text


def extract_staged(
    response: str, answer_type: AnswerType, choices: Sequence[str] = (), question: str = ""
) -> Extraction:
    """As `extract`, with the stage that found the answer."""
    if answer_type in ("span", "open"):
        _, text = marked(response, whole=answer_type == "open")
        answer = text.strip(EDGE)
        if answer_type == "span" and answer.endswith((".", "。")) and not answer.endswith(".."):
            answer = answer[:-1].strip(EDGE)
        return Extraction(answer, "exact" if answer else "none")
    if answer_type == "number":
        quantity, stage = read_number(response, question)
        return Extraction(quantity.text, stage) if quantity else Extraction("", "none")
    if answer_type == "choice":
        answer = choice_letter(response, choices, question)
        is_marked = bool(answer) and marked(response)[0]
        text = response
    else:
        is_marked, text = marked(response)
        answer = yes_or_no(text)
    if not answer:
        return Extraction("", "none")
    bare = text.strip(EDGE + ".。()[]").casefold() == answer.casefold()
    return Extraction(answer, "exact" if is_marked or bare else "rules")


def read_number(response: str, question: str = "") -> tuple[Quantity | None, Stage]:
    """The number that answers, with its stage.

    After a mark: the number of the first clause that has one, behind its last ``=``. Without a mark: the
    number that the response states (see `parse_number`).
    """
    text = before_next_question(spoken(response))
    inner = tagged(text)
    mark = answer_mark(text if inner is None else inner)
    if mark is None:
        quantity = parse_number(text if inner is None else inner, question)
        if quantity is None:
            return None, "none"
        bare = text.strip(EDGE + ".。$()").casefold() in (quantity.text.casefold(), f"{quantity.text}%")
        return quantity, "exact" if bare or inner is not None else "rules"
    here, line = mark.text.partition("\n")[0], mark.text.strip().partition("\n")[0]
    below = here.rstrip(EDGE)[-1:] in ("", ":", "：") and not any(map(str.isdigit, here))
    if not below or (not here.strip(EDGE) and len(line.split()) <= _SHORT_LINE):
        quantity = first_number(unboxed(line))
    else:  # "Here is the answer:" above a paragraph
        quantity = parse_number(mark.text, question)
    return (quantity, "exact") if quantity else (None, "none")
