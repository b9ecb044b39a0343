"""From a benchmark's rows to items that can be asked and scored: one rule for each kind. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from components.core.answers import AnswerType, normalise, parse_number
from components.core.benchmarks import Kind
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.vlmevalkit import parse_list
from components.core.stage.errors import DataError
from components.core.vlm.messages import numbered_images
from components.evaluation.config import Role

ROTATION_STRIDE = 1_000_000
"""Distance of the indices of an item's rotations in VLMEvalKit's circular files."""

Form = Literal["", "integer", "float", "text", "list", "formula"]
"""Within kinds mathvista and mathvision: what the reference is."""


@dataclass(frozen=True)
class Item:
    """One question of an evaluation."""

    benchmark: str
    role: Role
    kind: Kind
    item_id: str
    """Unique in its benchmark; a rotation made here is ``<index>@<shift>``."""
    image_group: str
    """Items about one picture share it: the cluster of the bootstrap."""
    question: str
    """May hold placeholders ``<image 1>`` … where its pictures belong."""
    answers: tuple[str, ...]
    """Reference answers, at least one."""
    answer_type: AnswerType
    choices: tuple[str, ...]
    category: str
    pictures: tuple[tuple[int, object], ...]
    """Where its pictures lie: number of the source, and place there."""
    pixels: int
    """Width times height summed over its pictures: with the text it decides how long the prompt is."""
    group: str = ""
    """Items that count only together, the rotations of a circular item; its own id elsewhere."""
    hint: str = ""
    form: Form = ""
    precision: int = -1
    """Decimals that the question asks for; -1 where it asks for none."""
    unit: str = ""
    grid: tuple[int, float] | None = None
    """Length and depth of a needle."""

    @property
    def answer(self) -> str:
        """The first reference answer."""
        return self.answers[0]


def build_items(blank: Item, row: BenchmarkItem, rotated: bool) -> list[Item]:
    """The items of one row; several for a circular one that the file does not rotate itself.

    Args:
        blank: an item with everything that does not depend on the kind: names, pictures, question.
        row: the row.
        rotated: whether the file holds the rotations already.

    Raises:
        ValueError: the row cannot be scored; the message says why.
    """
    if not row.answer.strip():
        raise ValueError("it has no answer; take the split whose answers are public")
    item = _BUILDERS[blank.kind](replace(blank, choices=row.choices), row)
    if not item.group:
        item = replace(item, group=item.item_id)
    if item.kind != "circular":
        return [item]
    if rotated:
        return [replace(item, group=str(int(item.item_id) % ROTATION_STRIDE))]
    return rotations(item)


def rotations(item: Item) -> list[Item]:
    """An item with its options shifted by 0, 1, … places, once for every option (MMBench, arXiv 2307.06281, section 3)."""
    size = len(item.choices)
    truth = ord(item.answer) - ord("A")
    return [
        replace(
            item,
            item_id=f"{item.item_id}@{shift}",
            group=item.item_id,
            choices=(*item.choices[shift:], *item.choices[:shift]),
            answers=(chr(ord("A") + (truth - shift) % size),),
        )
        for shift in range(size)
    ]


def _choice(item: Item, row: BenchmarkItem) -> Item:
    if len(item.choices) < 2:
        raise ValueError(f"a multiple-choice item needs two options or more, it has {len(item.choices)}")
    letter = normalise(row.fields.get("answer_option") or row.answer, "choice", item.choices)
    if not letter:
        raise ValueError(f"{row.answer!r} is no answer of type choice")
    return replace(item, answers=(letter,), answer_type="choice")


def _mmmu(item: Item, row: BenchmarkItem) -> Item:
    if item.choices:
        return _choice(item, row)
    answers = tuple(parse_list(row.answer) or (row.answer,))
    numeric = all(_is_number(answer) for answer in answers)
    return replace(item, answers=answers, answer_type="number" if numeric else "span")


def _mathvista(item: Item, row: BenchmarkItem) -> Item:
    item = replace(item, unit=row.fields.get("unit", "").strip())
    if item.choices:
        return _choice(item, row)
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


def _mathvision(item: Item, row: BenchmarkItem) -> Item:
    if item.choices:
        return _choice(item, row)
    return replace(item, answers=(row.answer.strip(),), answer_type="span", form="formula")


def _texts(item: Item, row: BenchmarkItem) -> Item:
    """Several references, written as a list, or one."""
    listed = parse_list(row.answer)
    answers = tuple(answer for answer in listed or [row.answer] if answer.strip())
    if not answers:
        raise ValueError(f"{row.answer!r} lists no answer")
    return replace(item, answers=answers, answer_type="span")


def _chart(item: Item, row: BenchmarkItem) -> Item:
    """One reference: a list is itself the answer to a question for several things."""
    return replace(item, answers=(row.answer.strip(),), answer_type="span")


def _yes_no(item: Item, row: BenchmarkItem) -> Item:
    answer = normalise(row.answer, "yes_no")
    if not answer:
        raise ValueError(f"{row.answer!r} is no answer of type yes_no")
    return replace(item, answers=(answer,), answer_type="yes_no")


def _open(item: Item, row: BenchmarkItem) -> Item:
    return replace(item, answers=tuple(parse_list(row.answer) or (row.answer,)), answer_type="open")


def _needle(item: Item, row: BenchmarkItem) -> Item:
    grid = (int(row.fields["length"]), float(row.fields["depth"]))
    return replace(item, answers=(row.answer,), answer_type="number", grid=grid)


def _agreement(item: Item, row: BenchmarkItem) -> Item:
    stated = row.answer_type or ("choice" if item.choices else "span")
    if stated not in get_args(AnswerType):
        raise ValueError(f"answer type {stated!r} is none of {', '.join(get_args(AnswerType))}")
    answer_type: AnswerType = stated  # type: ignore[assignment]
    if not normalise(row.answer, answer_type, item.choices):
        raise ValueError(f"{row.answer!r} is no answer of type {answer_type}")
    return replace(item, answers=(row.answer,), answer_type=answer_type)


_BUILDERS: dict[Kind, Callable[[Item, BenchmarkItem], Item]] = {
    "agreement": _agreement,
    "choice": _choice,
    "circular": _choice,
    "mmmu": _mmmu,
    "mathvista": _mathvista,
    "mathvision": _mathvision,
    "ocrbench": _texts,
    "anls": _texts,
    "relaxed_accuracy": _chart,
    "pope": _yes_no,
    "judged": _open,
    "needle_text": _needle,
    "needle_images": _needle,
}


def is_rotated(rows: Sequence[BenchmarkItem]) -> bool:
    """Whether a file holds the rotations of its items, at indices `ROTATION_STRIDE` apart."""
    return any(row.item_id.isdigit() and int(row.item_id) >= ROTATION_STRIDE for row in rows)


def check_placeholders(question: str, pictures: int, where: str) -> None:
    """Every ``<image n>`` of a question names one of its pictures.

    Raises:
        DataError: one names a picture that the item has not.
    """
    for number in numbered_images(question):
        if not 1 <= number <= pictures:
            raise DataError(f"{where}: it names <image {number}> but has {pictures} pictures")


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[-+−]?[\d.,/\s]*\d\s*%?\s*", text)) and parse_number(text) is not None
