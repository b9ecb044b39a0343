"""Answers as models word them, each with what it reads as: `cases/*.jsonl`, written for this project.

The values follow from the rules: a stated answer beats a mentioned one, a rejected one never counts.
A refusal is no answer, and several answers are none.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.answers import agree, extract, normalise, parse_number

CASES = Path(__file__).parent / "cases"
COLOURS = ("red", "green", "blue", "yellow")


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_numbers_read_as_one_number_or_as_none():
    wrong = []
    for case in _read("numbers"):
        found = parse_number(case["text"], case.get("question", ""))
        value = found.value if found else None
        if value != (pytest.approx(case["value"]) if case["value"] is not None else None):
            wrong.append((case, value))
    assert not wrong


def test_yes_and_no():
    wrong = [(c, said) for c in _read("yes_no") if (said := extract(c["response"], "yes_no")) != c["read"]]
    assert not wrong


def test_options_in_plain_choices():
    wrong = []
    for case in _read("options"):
        if case["kind"] != "choice":
            continue
        said = extract(case["response"], "choice", case["options"], case["question"])
        if said != case["read"]:
            wrong.append((case, said))
    assert not wrong


@pytest.mark.parametrize(
    "text",
    [
        "12:30",
        "5 pm",
        "3–5",
        "between 3 and 5",
        "12/05/2024",
        "May 12, 2024",
        "3, 4 and 5",
        "16:9",
        "±3",
        "more than 100",
    ],
)
def test_what_is_not_one_number_agrees_with_nothing(text: str):
    """As a teacher's answer it is refused, and voters who say the same do not confirm it."""
    assert normalise(text, "number") == ""
    assert not agree(text, text, "number")
    assert extract(f"Answer: {text}", "number") == ""


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("12 345 km", "12345 km"), ("1 000", "1,000"), ("1\u2009000", "1000"), ("1.234.567", "1234567"),
        ("12,34,567", "1234567"), ("minus 4", "-4"), ("零下4度", "-4"), ("2 1/2", "2.5"),
        ("2 × 10^3", "2000"),
        ("50 percent", "50%"), ("1.2 million", "1,200,000"),
    ],
)  # fmt: skip
def test_one_number_in_two_spellings(a: str, b: str):
    assert agree(a, b, "number")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from("ABCD"), st.sampled_from("ABCD"))
def test_a_rejected_letter_is_never_read(rejected: str, chosen: str):
    forms = ("The answer is not {r} but {c}.", "{c} rather than {r}.", "{r} is wrong. The answer is {c}.")
    for form in (*forms, "不是{r}，而是{c}。"):
        said = extract(form.format(r=rejected, c=chosen), "choice", COLOURS)
        assert said in ((chosen,) if rejected != chosen else ("", chosen))
    assert extract(f"It is not {rejected}.", "choice", COLOURS) == ""
    assert extract(f"Neither {rejected} nor {chosen}.", "choice", COLOURS) == ""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("ABCDEFGHIJ"), min_size=2, max_size=5, unique=True))
def test_several_letters_are_no_answer(letters: list[str]):
    options = tuple(f"option text {n}" for n in range(10))
    listed = ", ".join(letters[:-1])
    for text in (f"Answer: {listed}, and {letters[-1]}", f"The answer is {listed} and {letters[-1]}.",
                 f"({'), ('.join(letters)})", "、".join(letters)):  # fmt: skip
        assert extract(text, "choice", options) == ""


@pytest.mark.parametrize(
    "text",
    [
        "A and B " * 500,
        "not " * 1500,
        "\\boxed{" * 800,
        "1 " * 2000,
        "不是" * 1500,
        "#### a\n" * 800,
        "the answer " * 800,
    ],
)
@pytest.mark.parametrize("answer_type", ["choice", "number", "yes_no", "span"])
def test_reading_takes_bounded_time(text: str, answer_type):
    start = time.process_time()
    extract(text, answer_type, COLOURS if answer_type == "choice" else ())
    assert time.process_time() - start < 3
