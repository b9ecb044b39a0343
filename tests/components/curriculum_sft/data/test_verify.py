from __future__ import annotations

import json

import pytest

from components.core.stage.errors import DataError
from components.core.vlm import build_conversation, load_processor
from components.curriculum_sft.data.batches import PictureStores
from components.curriculum_sft.data.prepare import verify


@pytest.fixture(scope="module")
def processor(tiny_checkpoint):
    return load_processor(tiny_checkpoint)


@pytest.fixture
def pictures(coloured_pictures):
    damaged = coloured_pictures[0][: len(coloured_pictures[0]) // 2]
    return PictureStores([{"p0": coloured_pictures[0], "p2": coloured_pictures[2], "damaged": damaged}])


def _row(processor, image="p0", **more):
    """A checked row about a 48 x 48 px picture: 9 vision tokens, one of which the template's text holds
    already."""
    messages = build_conversation([("What colour?", "red"), ("Why?", "no")])
    text = processor.apply_chat_template(messages, tokenize=False)
    length = len(processor.tokenizer(text)["input_ids"]) + 9 - 1
    return {
        "sample_id": "s1",
        "messages": json.dumps(messages),
        "image_ids": [image],
        "length": length,
        "vision_tokens": 9,
    } | more


def test_a_plan_that_holds(processor, pictures):
    verify([_row(processor)] * 3, 2, 0, processor, pictures)
    pair = {
        "sample_id": "p",
        "prompt": "What colour?",
        "chosen": "red",
        "rejected": "It is blue. Answer: blue",
        "image_ids": ["p0"],
    }
    longer = build_conversation([(pair["prompt"], pair["rejected"])])
    length = len(processor.tokenizer(processor.apply_chat_template(longer, tokenize=False))["input_ids"]) + 8
    verify([pair | {"length": length, "vision_tokens": 9}], 1, 0, processor, pictures)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_ids": ["p2"]}, r"planned \d+ tokens, the processor gives \d+; its images \(p2\) differ"),
        ({"length": 5}, "planned 5 tokens"),
        ({"vision_tokens": 8}, "planned 8 vision tokens, the processor gives 9"),
        ({"image_ids": ["damaged"]}, "image damaged cannot be read"),
        ({"image_ids": ["absent"]}, "absent is in none"),
    ],
)
def test_the_sample_that_differs_is_named(processor, pictures, change, said):
    with pytest.raises(DataError, match=said) as caught:
        verify([_row(processor, **change)], 1, 0, processor, pictures)
    assert "sample s1: " in str(caught.value)
