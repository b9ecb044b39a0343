"""Normalisation, agreement and text metrics: golden values from the definitions, and the laws they obey."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.answers import agree, anls, extract, normalise, relaxed_accuracy
from components.core.answers.comparison import edit_distance

TYPES = st.sampled_from(["choice", "number", "yes_no", "span", "open"])
CHOICES = ("red", "dark red", "blue")
ANSWERS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["A", "b", "(C)", "dark red", "yes", "No.", "是", "3", "3.0", "3/4", "75 %", "1,000 km", "1 km"]
    ),
    st.text(alphabet="aAbB 0123456789.,/-%()是否", max_size=12),
)


@settings(max_examples=400, deadline=None)
@given(ANSWERS, ANSWERS, TYPES)
def test_laws_of_agreement(a: str, b: str, answer_type):
    form = normalise(a, answer_type, CHOICES)
    assert normalise(form, answer_type, CHOICES) == form
    assert agree(a, b, answer_type, CHOICES) == agree(b, a, answer_type, CHOICES)
    assert agree(a, a, answer_type, CHOICES) == (form != "")
    if form and form == normalise(b, answer_type, CHOICES) and answer_type != "number":
        assert agree(a, b, answer_type, CHOICES)


@settings(max_examples=300, deadline=None)
@given(ANSWERS, TYPES)
def test_an_extracted_answer_is_canonical_or_keeps_its_meaning(text: str, answer_type):
    answer = extract(text, answer_type, CHOICES)
    if answer_type in ("choice", "yes_no"):
        assert normalise(answer, answer_type, CHOICES) == answer
        assert extract(f"Because of this. Answer: {answer}", answer_type, CHOICES) == answer
    if answer_type == "number":
        assert normalise(answer, answer_type) == normalise(text, answer_type)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("The Red Lamp!", "red lamp", True),
        ("ｅｎｇｉｎｅ", "engine", True),
        ("engine oil pressure", "engine oil presure", True),  # one of 19 letters: 0.947
        ("left", "right", False),
        ("warm", "worm", False),  # 0.75 < 0.85
        ("P0301 misfire", "P0302 misfire", False),  # other digits
        ("3.5", "35", False),
        ("", "", False),
        ("A", "A", True),  # an article alone is the answer
        ("straße", "STRASSE", True),
    ],
)
def test_span_agreement(a: str, b: str, same: bool):
    assert agree(a, b, "span") is same


def test_choice_agreement_between_letter_and_text():
    assert agree("B", "dark red", "choice", CHOICES)
    assert not agree("A", "dark red", "choice", CHOICES)


@pytest.mark.parametrize(
    ("prediction", "references", "score"),
    [
        ("hello", ["hello"], 1.0),
        ("Hello ", ["hello"], 1.0),
        ("helo", ["hello"], 0.8),  # one deletion of five
        ("hallo", ["hello", "hallo!"], 5 / 6),  # 0.8 and 1 - 1/6: the best reference counts
        ("abcd", ["abxy"], 0.0),  # NL = 0.5 is not below the threshold
        ("", ["hello"], 0.0),
        ("", [""], 1.0),
        ("anything", [], 0.0),
    ],
)
def test_anls(prediction: str, references: list[str], score: float):
    assert anls(prediction, references) == pytest.approx(score)


def _levenshtein(a: str, b: str) -> int:
    """The textbook recurrence."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abcé", max_size=80), st.text(alphabet="abcé", max_size=80))
def test_edit_distance_is_levenshtein(a: str, b: str):
    assert edit_distance(a, b) == _levenshtein(a, b)


@pytest.mark.parametrize(
    ("prediction", "target", "score"),
    [
        ("104", "100", 1.0),
        ("105", "100", 1.0),
        ("106", "100", 0.0),
        ("95", "100", 1.0),
        ("94.9", "100", 0.0),
        ("0", "0", 1.0),
        ("0.01", "0", 0.0),
        ("Yes", "yes", 1.0),
        ("Germany", "Germany", 1.0),
        ("Germani", "Germany", 0.0),  # texts must be equal
        ("about 42%", "42", 1.0),
        ("0.42", "42%", 1.0),
        ("no number", "42", 0.0),
        ("2015, 2016", "[2015, 2016]", 1.0),  # a list is compared as text
    ],
)
def test_relaxed_accuracy(prediction: str, target: str, score: float):
    assert relaxed_accuracy(prediction, target) == score
