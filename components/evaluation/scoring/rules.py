"""The rule of each kind: a response against its item's references, by the definition of the benchmark's paper."""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.core.answers import (
    Quantity,
    agree,
    anls,
    extract_staged,
    find_numbers,
    normalise,
    parse_number,
    relaxed_accuracy,
)
from components.core.answers.extraction import fold
from components.core.benchmarks.vlmevalkit import parse_list
from components.evaluation.items import Item
from components.evaluation.scoring import formula
from components.evaluation.scoring.reading import answer_line, boxed, final_text, read, read_number
from components.evaluation.scoring.types import UNREAD, Scored

HANDWRITTEN = "Handwritten Mathematical Expression Recognition"
"""OCRBench's category whose texts are compared without spaces and with case."""


def agreement(response: str, item: Item) -> Scored:
    """Right or wrong by answer type, as voting and reinforcement learning judge it."""
    answer, stage = extract_staged(response, item.answer_type, item.choices)
    if not answer:
        return UNREAD
    return Scored(answer, stage, float(agree(answer, item.answer, item.answer_type, item.choices)))


def by_type(response: str, item: Item) -> Scored:
    """Right or wrong for options and yes/no: the letter or word is the reference."""
    answer, stage = read(response, item.answer_type, item.choices)
    if not answer:
        return UNREAD
    truth = normalise(item.answer, item.answer_type, item.choices)
    return Scored(answer, stage, float(normalise(answer, item.answer_type, item.choices) == truth))


def mmmu(response: str, item: Item) -> Scored:
    """Options as `by_type`; open numbers equal to two decimals, open texts if one occurs in the answer (MMMU, arXiv 2311.16502)."""
    if item.answer_type == "choice":
        return by_type(response, item)
    if item.answer_type == "number":
        quantity, stage = read_number(response)
        if quantity is None:
            return UNREAD
        right = any(
            abs(value - number.value) <= 0.005 + 1e-9
            for value in _values(quantity)
            for number in map(parse_number, item.answers)
            if number
        )
        return Scored(quantity.text, stage, float(right))  # type: ignore[arg-type]
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    said = f" {fold(line)} "
    right = any(f" {fold(answer)} " in said for answer in item.answers)
    return Scored(line, "exact" if marked or fold(line) in map(fold, item.answers) else "rules", float(right))


def mathvista(response: str, item: Item) -> Scored:
    """Equal after normalisation by the item's answer type (Lu et al. 2024, arXiv 2310.02255, section 3 and appendix).

    integer: the same whole number. float: the reference after rounding to the decimals that are asked for. list: the same
    entries in order. text: the same text once folded.
    """
    if item.answer_type == "choice":
        return by_type(response, item)
    if item.form in ("integer", "float"):
        quantity, stage = read_number(response)
        truth = parse_number(item.answer)
        if quantity is None or truth is None:
            return UNREAD
        margin = 0.5 * 10.0**-item.precision if item.precision >= 0 else 0.0
        allowed = max(margin if item.form == "float" else 0.0, 1e-9 * abs(truth.value)) * (1 + 1e-9)
        right = any(
            abs(value - target) <= allowed for value in _values(quantity) for target in _values(truth)
        )
        return Scored(quantity.text, stage, float(right))  # type: ignore[arg-type]
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    if item.form == "list":
        return _list(line, item.answer, marked)
    return Scored(line, "exact", float(fold(line) == fold(item.answer)))


def mathvision(response: str, item: Item) -> Scored:
    """The option, or the same formula or value within 1e-6 (Wang et al. 2024, arXiv 2402.14804)."""
    if item.answer_type == "choice":
        return by_type(response, item)
    inner = boxed(response)
    marked, line = answer_line(response)
    text = inner if inner is not None else line
    if not text:
        return UNREAD
    bare = formula.value(formula.plain(text)) is not None
    if formula.equal(text, item.answer):
        return Scored(text, "exact" if marked or bare else "rules", 1.0)
    if "=" in text and formula.equal(text.rsplit("=", 1)[1], item.answer):
        return Scored(text.rsplit("=", 1)[1].strip(), "rules", 1.0)
    if marked or bare:
        return Scored(text, "exact", 0.0)
    quantity, stage = read_number(response)
    if quantity is None:
        return UNREAD
    return Scored(quantity.text, stage, float(formula.equal(quantity.text, item.answer)))  # type: ignore[arg-type]


def ocrbench(response: str, item: Item) -> Scored:
    """Right if a reference occurs in the response (Liu et al. 2023, arXiv 2305.07895), case and line breaks aside."""
    text = final_text(response)
    if not text:
        return UNREAD
    found = next((answer for answer in item.answers if _occurs(answer, text, item.category)), None)
    if found is None:
        return Scored(text, "rules", 0.0)
    return Scored(found, "exact" if fold(found) == fold(text) else "rules", 1.0)


def _occurs(answer: str, text: str, category: str) -> bool:
    if category == HANDWRITTEN:
        return "".join(answer.split()) in "".join(text.split())
    return " ".join(answer.lower().split()) in " ".join(text.lower().split())


def similarity(response: str, item: Item) -> Scored:
    """ANLS with threshold 0.5 (Biten et al. 2019, arXiv 1905.13648, eq. 1; DocVQA, InfoVQA).

    A final full stop of the response counts only where it helps: references have one in "Inc." and none in sentences.
    """
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    stopped = final_text(response).rstrip(" *\"'”").endswith(".")
    best = max(anls(said, item.answers) for said in ((line, f"{line}.") if stopped else (line,)))
    return Scored(line, "exact" if marked or best == 1.0 else "rules", best)


def relaxed(response: str, item: Item) -> Scored:
    """ChartQA's relaxed accuracy: numbers within 5 %, texts equal (Masry et al. 2022, arXiv 2203.10244); lists entry by entry."""
    marked, line = answer_line(response)
    if not line:
        return UNREAD
    if (targets := parse_list(item.answer)) is not None:
        said = _entries(line, targets)
        right = len(said) == len(targets) and all(
            relaxed_accuracy(a, b) == 1.0 for a, b in zip(said, targets, strict=True)
        )
        return Scored(line, "exact" if marked else "rules", float(right))
    best = relaxed_accuracy(line, item.answer)
    quantity, stage = read_number(response)
    if quantity is not None and best == 0.0 and _is_number(item.answer):
        spellings = (quantity.text, *(f"{value:.12g}" for value in _values(quantity)[1:]))
        best = max(relaxed_accuracy(number, item.answer) for number in spellings)
    read_as = quantity.text if quantity is not None and _is_number(item.answer) else line
    return Scored(read_as, stage if read_as != line else ("exact" if marked else "rules"), best)  # type: ignore[arg-type]


def judged(response: str, item: Item) -> Scored:
    """Right if it is a reference word for word; all else is the judge's."""
    _, line = answer_line(response)
    if line and fold(line) in map(fold, item.answers):
        return Scored(line, "exact", 1.0)
    return UNREAD


def needle(response: str, item: Item) -> Scored:
    """Right if the number is there and no other of as many digits, so that reciting all numbers does not count."""
    text = final_text(response)
    digits = len(item.answer)
    said = list(
        dict.fromkeys(
            re.findall(rf"(?<!\d)\d{{{digits}}}(?!\d)", re.sub(r"(?<=\d)[,\s](?=\d{3}(?!\d))", "", text))
        )
    )
    if not said:
        return UNREAD
    return Scored(
        ", ".join(said), "exact" if text.strip(" .") == said[0] else "rules", float(said == [item.answer])
    )


def _values(quantity: Quantity) -> tuple[float, ...]:
    """A quantity's value; with a percent sign also the fraction that it means."""
    return (quantity.value, quantity.value / 100) if quantity.unit in ("%", "percent") else (quantity.value,)


def _list(line: str, reference: str, marked: bool) -> Scored:
    targets = parse_list(reference) or [reference]
    said = _entries(line, targets)
    right = len(said) == len(targets) and all(
        formula.equal(a, b) or (not _is_number(b) and fold(a) == fold(b))
        for a, b in zip(said, targets, strict=True)
    )
    return Scored(line, "exact" if marked or line.startswith("[") else "rules", float(right))


def _entries(line: str, targets: Sequence[str]) -> list[str]:
    """Entries of an enumeration: of a bracketed list, numbers where numbers are asked for, or texts between separators."""
    brackets = re.findall(r"\[([^\[\]]*)\]|\{([^{}]*)\}|\(([^()]*,[^()]*)\)", line)
    inner = next((part for part in brackets[-1] if part), "") if brackets else line
    if all(_is_number(target) for target in targets):
        return [quantity.text for quantity in find_numbers(inner.replace(", ", " ; ").replace("，", " ; "))]
    parts = re.split(r"\s*[,;、，；/]\s*(?:and\s+)?|\s+and\s+|和|以及", inner)
    return [part.strip(" '\"“”.") for part in parts if part.strip(" '\"“”.")]


def _is_number(text: str) -> bool:
    """Whether a reference is a number, with a sign, separators, a currency or a percent sign at most."""
    return bool(re.fullmatch(r"\s*[-+−]?[$€£¥]?\s*[\d.,]*\d\s*%?\s*", text))
