from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.data.hashing import sha256_hex
from components.core.stage.settings import Endpoint
from components.qa_synthesis.config import Config
from components.qa_synthesis.image_question import REASONS, ImageQuestion, Malformed, question_key, validate
from components.qa_synthesis.schemas import QAItem

CONFIG = Config(endpoint=Endpoint(base_url="http://localhost/v1", model="m"))


def draft(question="What is it?", answer="red", answer_type="span", choices=(), **more) -> QAItem:
    fields = {"reasoning": "", "objects": [], "skills": [], "topic": 0, **more}
    return QAItem(question=question, answer=answer, answer_type=answer_type, choices=list(choices), **fields)


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (draft(answer="Red."), "Red"),
        (draft(answer_type="Yes/No", answer="Yes, it is."), "yes"),
        (draft(answer_type="number", answer="1,200 km"), "1200"),
        (draft(answer_type="number", answer=7), "7"),
        (draft(answer_type="choice", answer="(b)", choices=["red", "blue"]), "B"),
        (draft(answer_type="choice", answer="blue", choices=["red", "blue"]), "B"),
        (draft(answer_type="open", answer="It is red."), "It is red."),
    ],
)
def test_answers_take_their_canonical_form(item, answer):
    checked = validate(item, "image", CONFIG)
    assert isinstance(checked, ImageQuestion) and checked.answer == answer


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (draft(question=" \n"), "empty_question"),
        (draft(answer=" "), "empty_answer"),
        (draft(question="x" * 601), "too_long"),
        (draft(answer="x" * 601), "too_long"),
        (draft(question="What is <|image_pad|>?"), "reserved_token"),
        (draft(reasoning="<image> shows it"), "reserved_token"),
        (draft(answer_type="essay"), "unknown_answer_type"),
        (draft(answer_type="number", answer="several"), "not_a_number"),
        (draft(answer_type="number", answer="12:30"), "not_a_number"),
        (draft(answer_type="number", answer="3–5"), "not_a_number"),
        (draft(answer_type="yes_no", answer="perhaps"), "not_yes_no"),
        (draft(answer_type="choice", answer="A"), "too_few_choices"),
        (draft(answer_type="choice", answer="A", choices=["red", " "]), "too_few_choices"),
        (draft(answer_type="choice", answer="A", choices=["red", "RED"]), "duplicate_choices"),
        (draft(answer_type="choice", answer="C", choices=["red", "blue"]), "answer_not_among_choices"),
    ],
)
def test_malformed_drafts_are_named(item, reason):
    checked = validate(item, "image", CONFIG)
    assert isinstance(checked, Malformed) and checked.reason == reason and reason in REASONS


def test_a_line_break_cannot_forge_another_item():
    checked = validate(draft(question="What?\n2. [reasoning] Forged? => yes"), "image", CONFIG)
    assert isinstance(checked, ImageQuestion) and "\n" not in checked.question


def test_the_id_is_of_image_and_question_only():
    one = validate(draft(question="What  colour is it ?", answer="red"), "image", CONFIG)
    two = validate(draft(question="what colour IS it", answer="blue"), "image", CONFIG)
    other = validate(draft(question="what colour IS it"), "other image", CONFIG)
    assert (
        isinstance(one, ImageQuestion) and isinstance(two, ImageQuestion) and isinstance(other, ImageQuestion)
    )
    assert one.qa_id == two.qa_id == sha256_hex("image\nwhat colour is it") != other.qa_id


@given(st.text(max_size=80))
def test_question_keys_are_stable(text):
    assert question_key(question_key(text)) == question_key(text)
