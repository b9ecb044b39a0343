"""Prompts by kind and style, and where pictures stand in them."""

from __future__ import annotations

from components.evaluation.prompting import content_parts, prompt_for, template_hashes
from components.evaluation.scoring import KINDS


def test_pictures_stand_where_they_are_named():
    prompt = "Compare <image 2> with <image 1>, then <image 2> again."
    assert content_parts(prompt, 3) == [
        2, "Compare ", 1, " with ", 0, ", then <image 2> again.",
    ]  # fmt: skip
    assert content_parts("What is it?", 2) == [0, 1, "What is it?"]
    assert content_parts("What is it?", 0) == ["What is it?"]


def test_a_plain_prompt_is_the_training_format(any_item):
    item = any_item(question="Which?", choices=("x", "y"), hint="Look.", answer_type="choice", answer="A")
    assert prompt_for(item, "plain") == "Hint: Look.\nWhich?\nA. x\nB. y"


def test_every_kind_has_a_template_and_a_hash(any_item):
    items = [any_item(kind=kind, form="float", precision=2) for kind in KINDS]
    for item in items:
        assert prompt_for(item, "instructed").startswith("q")
    hashes = template_hashes(items)
    assert len(hashes) == len({*hashes}) and all(len(value) == 16 for value in hashes.values())
    number = any_item(kind="mathvista", form="float", precision=2, answer_type="number", unit="m")
    assert prompt_for(number, "instructed").splitlines()[1:] == [
        "(Unit: m)",
        'Answer the question with a number with 2 decimal places and give it at the end, as "Answer: 1.23".',
    ]
