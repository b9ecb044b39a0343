from __future__ import annotations

import json
from dataclasses import replace

import pytest

from components.core.conversations.base import REASONS
from components.core.conversations.pictures import Sizes, header_size
from components.core.resume.journal import Journal
from components.core.vlm import build_conversation, load_processor, vision_token_count
from components.curriculum_sft.data.batches import ConversationCollator, PictureStores, answer_finder
from components.curriculum_sft.data.checks import Planner, partition


@pytest.fixture(scope="module")
def processor(tiny_checkpoint):
    return load_processor(tiny_checkpoint)


class Damaged:
    """A store with one damaged picture."""

    def __contains__(self, image_id):
        return image_id == "damaged"

    def size(self, image_id):
        return header_size(b"no picture")


@pytest.fixture
def planner(processor):
    tokenizer, find = processor.tokenizer, answer_finder(processor)
    return Planner(
        tokenize=lambda turns: tokenizer(processor.apply_chat_template(turns, tokenize=False))["input_ids"],
        vision_tokens=lambda height, width: vision_token_count(processor, height, width),
        sizes=Sizes({"p0": (48, 48), "p4": (64, 32), "ribbon": (1, 4000)}, [Damaged()]),
        control_tokens=list(tokenizer.added_tokens_encoder),
        max_length_tokens=80,
        count_answers=lambda ids: len(find(ids)),
        image_token=processor.image_token_id,
        vocabulary=len(tokenizer),
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
        (_row([("q", ""), ("q", "a")], ["p0"]), "no_answer"),
        (_row([("q", "a")], ["damaged"]), "image_unreadable"),
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


def test_tokens_without_an_embedding_are_named(processor, planner):
    unknown = processor.tokenizer.convert_tokens_to_ids("<|im_start|>")
    small = replace(planner, vocabulary=unknown)
    ((row,), (bad,)) = (
        partition([_row([("q", "a")], ["p0"])], planner)[0],
        partition([_row([("q", "a")], ["p0"])], small)[1],
    )
    assert row["length"]
    assert bad["reason"] == "unknown_token"
    assert f"the model has {unknown} embeddings" in bad["detail"]


def test_a_template_that_drops_placeholders_is_noticed(planner):
    silent = replace(planner, image_token=10**6)
    assert (
        partition([_row([("q", "a")], ["p0"])], silent)[1][0]["detail"]
        == "the chat template writes 0 of 1 placeholders"
    )


def test_an_answer_that_labels_would_miss_is_noticed(planner):
    """Qwen's tokenizer makes one token of the header's line break and one that an answer begins with."""
    merging = replace(planner, count_answers=lambda ids: 1)
    (bad,) = partition([_row([("q", "a"), ("q", "\na")], ["p0"])], merging)[1]
    assert bad["reason"] == "answer_lost"
    assert bad["detail"].startswith("1 of 2 answers")


def test_an_answer_must_not_show_an_image(planner):
    turns = build_conversation([("q", "a")], 0)
    turns[1]["content"].insert(0, {"type": "image"})
    row = {"sample_id": "s", "messages": json.dumps(turns), "image_ids": ["p0"]}
    assert partition([row], planner)[1][0]["reason"] == "bad_messages"


def test_nothing_is_planned_twice(planner, tmp_path):
    """What a killed stage has planned is read back; other content, or another image, is planned."""
    rows = [_row([("What colour?", answer)], ["p0"]) for answer in ("red", "blue")] + [
        _row([("q", " ")], ["p0"])
    ]
    journal = Journal(tmp_path / "lengths.jsonl")
    first = partition(rows, replace(planner, kept=journal))
    journal.close()

    asked = []
    again = replace(
        planner, kept=Journal(tmp_path / "lengths.jsonl"), tokenize=lambda turns: asked.append(turns) or []
    )
    assert partition(rows, again) == first
    assert not asked
    with pytest.raises(ValueError, match="empty"):
        partition([_row([("What colour?", "red")], ["p4"])], again)
    assert len(asked) == 1
