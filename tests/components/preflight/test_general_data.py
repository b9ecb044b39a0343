from __future__ import annotations

import json

import pytest

from components.preflight.general_data import CONTROL_TOKENS, sample_problem

USER = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which colour?"}]}
ASSISTANT = {"role": "assistant", "content": "red"}
KNOWN = {"a", "b"}


def problem(messages: object, image_ids: list[str]) -> str:
    return sample_problem(json.dumps(messages), image_ids, KNOWN)


def test_good_samples() -> None:
    assert problem([USER, ASSISTANT], ["a"]) == ""
    assert (
        problem([{"role": "system", "content": "Be brief."}, USER, ASSISTANT, USER, ASSISTANT], ["a", "b"])
        == ""
    )
    assert problem([{"role": "user", "content": "no image"}, ASSISTANT], []) == ""


@pytest.mark.parametrize("image_ids", [[], ["a", "b"]])
def test_placeholders_must_match_images(image_ids) -> None:
    assert problem([USER, ASSISTANT], image_ids) == f"1 image placeholders, but {len(image_ids)} image_ids"


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_literal_control_tokens_are_found(token) -> None:
    assert token in problem([USER, {"role": "assistant", "content": f"red {token}"}], ["a"])


def test_unknown_images_are_found() -> None:
    assert "image c is not in" in problem([USER, ASSISTANT], ["c"])


@pytest.mark.parametrize(
    "messages", [[], [USER], [ASSISTANT, USER], [{"role": "robot", "content": "x"}, ASSISTANT]]
)
def test_turns_must_end_with_an_answer(messages) -> None:
    assert "roles must be" in problem(messages, ["a"]) or "placeholders" in problem(messages, ["a"])


@pytest.mark.parametrize(
    "messages", ["text", [1], [{"role": "user"}], [{"role": "user", "content": [{"type": "audio"}]}]]
)
def test_other_structures_are_not_chatml(messages) -> None:
    assert "not ChatML" in problem(messages, [])


def test_broken_json() -> None:
    assert "not ChatML" in sample_problem("[{", [], KNOWN)
