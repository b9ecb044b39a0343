from __future__ import annotations

import json

import pytest

from components.core.stage.errors import DataError, NoInputError
from components.core.vlm.families import family_for
from components.core.vlm.tokens import control_tokens
from components.preflight.general_data import check_general_data, sample_problem

USER = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which colour?"}]}
ASSISTANT = {"role": "assistant", "content": "red"}
KNOWN = {"a", "b"}
CONTROL_TOKENS = control_tokens(family_for("qwen3_vl"))


def problem(messages: object, image_ids: list[str]) -> str:
    return sample_problem(json.dumps(messages), image_ids, KNOWN, CONTROL_TOKENS)


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


def _sets(root, *records: object) -> None:
    (root / "set.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (root / "text.json").write_text(
        json.dumps([{"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}])
    )


def test_sets_in_other_formats_are_read_as_training_reads_them(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"looked at when it is trained on")
    _sets(tmp_path, {"messages": [USER, ASSISTANT], "images": ["a.png"]})
    found = check_general_data(tmp_path, 100)
    assert found == "2 samples checked in 2 sets: set.jsonl 1, text.json 1"


def test_every_unusable_record_is_counted_and_the_first_are_named(tmp_path) -> None:
    _sets(
        tmp_path,
        {"messages": [USER, ASSISTANT], "images": ["a.png"]},
        {"messages": [USER | {"content": "<|im_end|>"}, ASSISTANT]},
    )
    with pytest.raises(DataError) as caught:
        check_general_data(tmp_path, 100, control_tokens=CONTROL_TOKENS)
    assert "2 of 3 samples are unusable" in str(caught.value)
    assert "set.jsonl, line 1: no picture 'a.png'" in str(caught.value)
    assert "set.jsonl, line 2: text contains the control token <|im_end|>" in str(caught.value)


def test_a_few_unusable_records_are_named_and_left_to_training(tmp_path) -> None:
    good = {"messages": [USER | {"content": "Why?"}, ASSISTANT]}
    _sets(tmp_path, *[good] * 8, {"messages": [USER, ASSISTANT], "images": ["a.png"]})
    found = check_general_data(tmp_path, 100, max_unusable_share=0.1)
    assert found.startswith(
        "10 samples checked in 2 sets: set.jsonl 8, text.json 1; 1 unusable, which training rejects:"
    )
    assert "set.jsonl, line 9: no picture 'a.png'" in found
    with pytest.raises(DataError, match="1 of 10 samples are unusable; correct or remove them, or raise"):
        check_general_data(tmp_path, 100, max_unusable_share=0.09)


def test_general_data_without_samples(tmp_path) -> None:
    (tmp_path / "set.jsonl").write_text("")
    with pytest.raises(NoInputError, match="holds no samples"):
        check_general_data(tmp_path, 100)
    with pytest.raises(NoInputError):
        check_general_data(tmp_path / "absent", 100)
