from __future__ import annotations

import pytest

from components.core.vlm import build_conversation, format_question, format_response
from components.core.vlm.messages import numbered_images, split_at_images


def test_choices_follow_the_question_as_lettered_lines():
    assert format_question(" Which? ", ["red", "blue"]) == "Which?\nA. red\nB. blue"
    assert format_question("How many?") == "How many?"


def test_response_is_short_or_reasoned():
    assert format_response(" 3 ") == "3"
    assert format_response("3", "I count three lights.") == "I count three lights. Answer: 3"


def test_the_picture_opens_the_first_turn_only():
    messages = build_conversation([("q1", "a1"), ("q2", "a2")])
    assert [m["role"] for m in messages] == ["user", "assistant", "user", "assistant"]
    assert [[part["type"] for part in m["content"]] for m in messages] == [
        ["image", "text"],
        ["text"],
        ["text"],
        ["text"],
    ]


def test_a_prompt_has_no_assistant_turn():
    assert [m["role"] for m in build_conversation([("q", None)])] == ["user"]


@pytest.mark.parametrize("marker", ["<image 2>", "<image2>", "<image_2>"])
def test_numbered_pictures_may_be_written_without_a_space(marker: str):
    assert numbered_images(f"See {marker}.") == [2]
    assert split_at_images(f"See {marker}.", 2) == ["See ", 1, "."]
