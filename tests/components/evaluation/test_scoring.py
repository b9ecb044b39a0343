"""Scorers beyond the recorded cases: kinds with several rules, circular groups, stages, properties."""

from __future__ import annotations

import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.benchmarks import Kind
from components.evaluation.items import rotations
from components.evaluation.scoring import KINDS, Scored, aggregate, score, score_all
from components.evaluation.scoring.formula import equal, plain, value
from components.evaluation.scoring.reading import boxed, final_text

WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x9FFF, exclude_categories=("Cs",)), max_size=60
)


def test_every_kind_has_a_rule():
    from typing import get_args

    assert set(KINDS) == set(get_args(Kind)) - {"auto"}


@pytest.mark.parametrize(
    ("response", "fields", "expected"),
    [
        ("Yes.", {}, ("yes", "exact", 1.0)),
        ("I see it. Answer: no", {}, ("no", "exact", 0.0)),
        ("who knows", {}, ("", "none", 0.0)),
        ("red", {"answer": "B", "answer_type": "choice", "choices": ("blue", "red")}, ("B", "rules", 1.0)),
        ("Answer: 42 km/h", {"answer": "42", "answer_type": "number"}, ("42 km/h", "exact", 1.0)),
        ("104", {"answer": "100", "answer_type": "number"}, ("104", "exact", 0.0)),
        ("helo", {"answer": "hello", "answer_type": "span"}, ("helo", "exact", 0.0)),
    ],
)
def test_agreement_with_its_stage(any_item, response: str, fields: dict, expected: tuple[str, str, float]):
    assert score(response, any_item(**fields)) == Scored(*expected)


@pytest.mark.parametrize(
    ("response", "fields", "right"),
    [
        ("(C)", {"answer": "C", "answer_type": "choice", "choices": ("1", "2", "3")}, True),
        ("3.141", {"answers": ("3.14",), "answer_type": "number"}, True),  # equal to two decimals
        ("3.15", {"answers": ("3.14",), "answer_type": "number"}, False),
        ("It is 24 in the end.", {"answers": ("12", "24"), "answer_type": "number"}, True),
        ("It is a Doric column.", {"answers": ("Doric",), "answer_type": "span"}, True),
        ("It is an ionic column.", {"answers": ("Doric",), "answer_type": "span"}, False),
        ("Dorical", {"answers": ("Doric",), "answer_type": "span"}, False),
    ],
)
def test_mmmu(any_item, response: str, fields: dict, right: bool):
    assert score(response, any_item(kind="mmmu", **fields)).score == right


@pytest.mark.parametrize(
    ("response", "answer", "right"),
    [
        (r"Thus \boxed{\frac{3}{4}}", "3/4", True),
        (r"\boxed{0.75}", r"\frac{3}{4}", True),
        (r"\boxed{2\sqrt{3}}", r"\sqrt{12}", True),
        (r"\boxed{2\sqrt{3}}", r"3\sqrt{2}", False),
        (r"\boxed{36\pi}", "36π", True),
        (r"\boxed{36\pi \text{ cm}^2}", "36π", True),
        ("The area is 12 cm^2.", "12", True),
        ("Answer: 45°", "45", True),
        (r"\boxed{(1, -2)}", "(1,-2)", True),
        (r"\boxed{(1, -2)}", "(-2, 1)", False),
        (r"\boxed{x = 5}", "5", True),
        (r"\boxed{2^{10}}", "1024", True),
        (r"\boxed{1{,}024}", "1024", True),
        (r"\boxed{1,024}", "1024", True),
        (r"\boxed{\dfrac{1}{\sqrt{2}}}", r"\frac{\sqrt2}{2}", True),
        (r"\boxed{6 \times 7}", "42", True),
        ("So a = 3 + 4 = 7", "7", True),
        ("7", "8", False),
        ("", "8", False),
        (r"\boxed{}", "8", False),
        ("答案是 $\\frac{1}{2}$", "0.5", True),
    ],
)
def test_mathvision_formulas(any_item, response: str, answer: str, right: bool):
    item = any_item(kind="mathvision", answer=answer, answer_type="span", form="formula")
    assert score(response, item).score == right


def test_formulas_that_are_not_arithmetic_are_not_evaluated():
    assert value("__import__('os').getcwd()") is None
    assert value("9**9**9**9") is None  # too large, and refused as a float
    assert value("(0-8)**(1/3)") is None  # not a real number
    assert value("1/0") is None
    assert value("[1][0]") is None


@given(st.integers(-999, 999), st.integers(1, 99))
def test_fractions_in_all_spellings_are_equal(numerator: int, denominator: int):
    spellings = [
        f"{numerator}/{denominator}",
        rf"\frac{{{numerator}}}{{{denominator}}}",
        rf"$\dfrac{{{numerator}}}{{{denominator}}}$",
        repr(numerator / denominator),
        f"({numerator})/({denominator})",
    ]
    assert all(equal(a, b) for a in spellings for b in spellings)
    assert not any(equal(a, f"{numerator + denominator}/{denominator}") for a in spellings)


@given(WORDS)
def test_a_formula_equals_itself_and_reading_it_never_fails(text: str):
    assert equal(text, text) == bool(plain(text))
    found = value(text)
    assert found is None or math.isfinite(found)


@given(WORDS)
def test_what_is_boxed_is_found_again(text: str):
    if "{" not in text and "}" not in text:
        assert boxed(rf"so \boxed{{{text}}}.") == text
        assert boxed(rf"\boxed{{1}} and \boxed{{\text{{{text}}}}}") == rf"\text{{{text}}}"


@given(WORDS, WORDS)
def test_thoughts_do_not_count(thought: str, said: str):
    if "<" not in thought + said and "\\" not in said and "####" not in said:
        assert final_text(f"<think>{thought}</think>{said}") == said.strip()
        assert final_text(f"<think>{thought}") == ""


@given(st.sampled_from(sorted(KINDS)), WORDS)
def test_any_response_gets_a_score_in_range_and_a_stage(kind: Kind, response: str):
    from components.evaluation.items import Item

    answer_type = {"pope": "yes_no", "mathvista": "number", "needle_text": "number"}.get(kind, "choice")
    item = Item(
        "b", "general", kind, "i", "g", "q", ("A",) if answer_type == "choice" else ("12345",), answer_type,
        ("red", "green") if answer_type == "choice" else (), "c", (), 0, form="integer",
    )  # fmt: skip
    scored = score(response, item)
    assert 0 <= scored.score <= 1
    assert (scored.stage == "none") <= (scored.score == 0 and scored.extracted == "")


@given(st.integers(2, 8), st.data())
def test_rotations_ask_for_the_same_text_under_every_letter(size: int, data: st.DataObject):
    from components.evaluation.items import Item

    choices = tuple(f"option {n}" for n in range(size))
    answer = data.draw(st.sampled_from(string.ascii_uppercase[:size]))
    item = Item(
        "b", "general", "circular", "7", "g", "q", (answer,), "choice", choices, "c", (), 0, group="7"
    )
    rotated = rotations(item)
    truth = choices[ord(answer) - 65]
    assert sorted(r.answer for r in rotated) == list(string.ascii_uppercase[:size])
    assert all(
        r.choices[ord(r.answer) - 65] == truth and sorted(r.choices) == sorted(choices) for r in rotated
    )
    assert len({r.item_id for r in rotated}) == size
    assert {r.group for r in rotated} == {"7"}
    # A model that always takes one letter is right once, and never in the group; one that knows always is.
    fixed = [score("A", r) for r in rotated]
    assert sum(s.score for s in fixed) == 1
    assert aggregate(rotated, fixed)[0].score == 0
    assert aggregate(rotated, [score(r.answer, r) for r in rotated])[0].score == 1


def test_units_keep_their_order_and_their_items(any_item):
    items = [
        any_item(item_id="1@0", group="1", kind="circular"),
        any_item(item_id="2", group="2", category="other"),
        any_item(item_id="1@1", group="1", kind="circular"),
        any_item(item_id="1", group="1", benchmark="another"),
    ]
    scored = [Scored("A", "exact", s) for s in (1.0, 0.5, 0.0, 1.0)]
    units = aggregate(items, scored)
    assert [(u.benchmark, u.unit_id, u.indices, u.score) for u in units] == [
        ("b", "1", (0, 2), 0.0),
        ("b", "2", (1,), 0.5),
        ("another", "1", (3,), 1.0),
    ]


def test_without_a_judge_open_answers_count_only_word_for_word(any_item):
    item = any_item(kind="judged", answers=("A red car", "a car"), answer_type="open")
    assert score_all([item] * 3, ["the red car.", "A vehicle, red", ""]) == [
        Scored("the red car", "exact", 1.0),
        Scored("", "none", 0.0),
        Scored("", "none", 0.0),
    ]
    assert score("the red car.", item).score == 1.0


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("48213", True),
        ("The access code is 48213.", True),
        ("48,213", True),
        ("48213, and the library's is 93211", False),  # recites the numbers
        ("4821", False),
        ("148213", False),
        ("", False),
    ],
)
def test_needles_are_found_only_by_their_own_number(any_item, response: str, right: bool):
    item = any_item(kind="needle_text", answer="48213", answer_type="number")
    assert score(response, item).score == right
