"""Scorers beyond the recorded cases: kinds with several rules, circular groups, stages, properties."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.benchmarks.kinds import KINDS
from components.evaluation.items import rotations
from components.evaluation.scoring import Scored, aggregate, score, score_all

WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x9FFF, exclude_categories=("Cs",)), max_size=60
)


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


@given(st.sampled_from(KINDS), WORDS)
def test_any_response_gets_a_score_in_range_and_a_stage(any_item, kind: str, response: str):
    answer_type = {"pope": "yes_no", "mathvista": "number", "needle_text": "number"}.get(kind, "choice")
    choices = ("red", "green") if answer_type == "choice" else ()
    item = any_item(
        kind=kind,
        answer="A" if choices else "12345",
        answer_type=answer_type,
        choices=choices,
        pictures=(),
        form="integer",
    )
    scored = score(response, item)
    assert 0 <= scored.score <= 1
    assert (scored.stage == "none") <= (scored.score == 0 and scored.extracted == "")


@given(st.integers(2, 8), st.data())
def test_rotations_ask_for_the_same_text_under_every_letter(any_item, size: int, data: st.DataObject):
    choices = tuple(f"option {n}" for n in range(size))
    answer = data.draw(st.sampled_from(string.ascii_uppercase[:size]))
    item = any_item(
        kind="circular", item_id="7", answer=answer, answer_type="choice", choices=choices, group="7"
    )
    rotated = rotations(item)
    truth = choices[ord(answer) - 65]
    assert sorted(r.reference for r in rotated) == list(string.ascii_uppercase[:size])
    assert all(
        r.choices[ord(r.reference) - 65] == truth and sorted(r.choices) == sorted(choices) for r in rotated
    )
    assert len({r.item_id for r in rotated}) == size
    assert {r.group for r in rotated} == {"7"}
    # A model that always takes one letter is right once, and never in the group; one that knows always is.
    fixed = [score("A", r) for r in rotated]
    assert sum(s.score for s in fixed) == 1
    assert aggregate(rotated, fixed)[0].score == 0
    assert aggregate(rotated, [score(r.reference, r) for r in rotated])[0].score == 1


def test_units_keep_their_order_and_their_items(any_item):
    items = [
        any_item(item_id="1@0", group="1", kind="circular"),
        any_item(item_id="2", group="2", category="other"),
        any_item(item_id="1@1", group="1", kind="circular"),
        any_item(item_id="1", group="1", benchmark="another"),
    ]
    scored = [Scored("A", "exact", s) for s in (1.0, 0.5, 0.0, 1.0)]
    units = aggregate(items, scored)
    assert [(u.item.benchmark, u.item.group, u.indices, u.score) for u in units] == [
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
