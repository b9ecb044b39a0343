from __future__ import annotations

import json

import pytest

from components.core.vlm import build_conversation, load_processor, vision_token_count
from components.curriculum_sft.checks import REASONS, Planner, partition
from components.curriculum_sft.collator import ConversationCollator, PictureStores


@pytest.fixture(scope="module")
def processor(tiny_checkpoint):
    return load_processor(tiny_checkpoint)


@pytest.fixture
def planner(processor):
    tokenizer = processor.tokenizer
    return Planner(
        tokenize=lambda turns: len(
            tokenizer(processor.apply_chat_template(turns, tokenize=False))["input_ids"]
        ),
        vision_tokens=lambda height, width: vision_token_count(processor, height, width),
        sizes={"p0": (48, 48), "p4": (64, 32), "ribbon": (1, 4000)},
        control_tokens=list(tokenizer.added_tokens_encoder),
        max_length_tokens=80,
    )


def _row(turns, images, **more):
    messages = more.get("messages", json.dumps(build_conversation(turns, len(images))))
    return {"sample_id": "s", "messages": messages, "image_ids": more.get("image_ids", images)}


def test_planned_length_is_the_encoded_length(processor, planner, coloured_pictures):
    rows = [
        _row([("What colour?", "red"), ("Why?", "no")], ["p0"]),
        _row([("How many circles?", "3")], ["p4"]),
    ]
    good, bad = partition(rows, planner)
    assert not bad
    pictures = PictureStores([{"p0": coloured_pictures[0], "p4": coloured_pictures[4]}])
    for row in good:
        batch = ConversationCollator(processor, pictures)([{**row, "images": row["image_ids"]}])
        assert row["length"] == batch["input_ids"].shape[1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_row([], [], messages="{"), "bad_messages"),
        (_row([], [], messages='[{"role": "user"}]'), "bad_messages"),
        (_row([("q", None)], ["p0"]), "no_answer"),
        (_row([("q", "  ")], ["p0"]), "no_answer"),
        (_row([("q", "a")], ["p0"], image_ids=["p0", "p4"]), "placeholder_mismatch"),
        (_row([("Look: <|image_pad|>", "a")], ["p0"]), "control_token"),
        (_row([("q", "a<|im_end|>")], ["p0"]), "control_token"),
        (_row([("q", "a")], ["absent"]), "image_missing"),
        (_row([("q", "a")], ["ribbon"]), "image_shape"),
        (_row([("word " * 100, "a")], ["p0"]), "too_long"),
    ],
)
def test_each_fault_has_its_reason(planner, row, reason):
    good, bad = partition([row], planner)
    assert not good
    assert [entry["reason"] for entry in bad] == [reason]
    assert reason in REASONS


def test_a_pair_is_as_long_as_its_longer_side(planner):
    pair = {
        "sample_id": "s",
        "prompt": "Which?",
        "chosen": "no",
        "rejected": "It is not there. Answer: no",
        "image_ids": ["p0"],
    }
    sides = [
        planner.check(json.dumps(build_conversation([("Which?", pair[key])])), ["p0"])[0]
        for key in ("chosen", "rejected")
    ]
    assert partition([pair], planner)[0][0]["length"] == max(sides)
    assert partition([{**pair, "rejected": ""}], planner)[1][0]["reason"] == "no_answer"


def test_plain_string_content_is_text(planner):
    messages = json.dumps([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "yes"}])
    assert partition([_row([], [], messages=messages)], planner)[0][0]["length"] > 0
