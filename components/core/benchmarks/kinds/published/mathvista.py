"""MathVista: equal after normalisation by answer type (Lu et al. 2024, arXiv 2310.02255, section 3).

integer: the same whole number. float: the reference after rounding to the decimals that are asked for.
list: the same entries in order. text: the same text once folded.
"""

from __future__ import annotations

from dataclasses import replace

from components.core.answers import parse_number, read_number
from components.core.answers.folding import fold
from components.core.benchmarks import formula
from components.core.benchmarks.base import BenchmarkItem, parse_list
from components.core.benchmarks.kinds import choice
from components.core.benchmarks.reading import (
    answer_line,
    entries,
    is_number,
    score_closed,
    values_of,
)
from components.core.benchmarks.rules import UNREAD, Form, Item, Rules, Scored

PROMPT = """\
{{ question }}
{% if unit %}
(Unit: {{ unit }})
{% endif %}
{% if answer_type == "choice" %}
Answer the question and give the letter of the correct option at the end, as "Answer: A".
{% elif form == "integer" %}
Answer the question with an integer and give it at the end, as "Answer: 3".
{% elif form == "float" and precision >= 0 %}
Answer the question with a number with {{ precision }} decimal place{{ "" if precision == 1 else "s" }} \
and give it at the end, as "Answer: {{ "%.*f"|format(precision, 1.234) }}".
{% elif form == "float" %}
Answer the question with a number and give it at the end, as "Answer: 1.2".
{% elif form == "list" %}
Answer the question with a list and give it at the end, as "Answer: [1, 2, 3]".
{% else %}
Answer the question and give the final answer at the end, as "Answer: ...".
{% endif %}
"""


def build(item: Item, row: BenchmarkItem) -> Item:
    item = replace(item, unit=row.fields.get("unit", "").strip())
    if item.choices:
        return choice.build(item, row)
    stated = row.fields.get("answer_type", "").strip().lower()
    if stated not in ("integer", "float", "list", "text"):
        raise ValueError(f"answer_type {stated!r} is none of integer, float, list, text")
    form: Form = stated  # type: ignore[assignment]
    precision = parse_number(row.fields.get("precision", "") or "")
    if form in ("integer", "float") and parse_number(row.answer) is None:
        raise ValueError(f"{row.answer!r} is no number")
    return replace(
        item,
        answers=(row.answer.strip(),),
        answer_type="number" if form in ("integer", "float") else "span",
        form=form,
        precision=int(precision.value) if precision and form == "float" else -1,
    )


def score(response: str, item: Item) -> Scored:
    if item.answer_type == "choice":
        return score_closed(response, item, by_value=True)
    if item.form in ("integer", "float"):
        quantity, stage = read_number(response, item.question)
        truth = parse_number(item.reference)
        if quantity is None or truth is None:
            return UNREAD
        margin = 0.5 * 10.0**-item.precision if item.precision >= 0 and item.form == "float" else 0.0
        allowed = max(margin, 1e-9 * abs(truth.value)) * (1 + 1e-9)
        right = any(
            abs(value - target) <= allowed for value in values_of(quantity) for target in values_of(truth)
        )
        return Scored(quantity.text, stage, float(right))
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    if item.form == "list":
        bracketed = marked or line.startswith("[")
        return Scored(line, "exact" if bracketed else "rules", float(_same_list(line, item.reference)))
    return Scored(line, "exact", float(fold(line) == fold(item.reference)))


def _same_list(line: str, reference: str) -> bool:
    targets = parse_list(reference) or [reference]
    said = entries(line, targets)
    return len(said) == len(targets) and all(
        formula.equal(a, b) or (not is_number(b) and fold(a) == fold(b))
        for a, b in zip(said, targets, strict=True)
    )


RULES = Rules(build, {"mathvista": PROMPT}, score, names="mathvista", rank=4)
