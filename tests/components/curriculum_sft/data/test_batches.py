from __future__ import annotations

import json

import pytest
import torch

from components.core.stage.errors import DataError
from components.core.vlm import build_conversation, load_model, load_processor
from components.curriculum_sft.data.batches import (
    IGNORED,
    ConversationCollator,
    PictureStores,
    PreferenceCollator,
    answer_spans,
)


@pytest.fixture(scope="module")
def processor(tiny_checkpoint):
    return load_processor(tiny_checkpoint)


@pytest.fixture(scope="module")
def pictures(coloured_pictures):
    return PictureStores([{f"p{i}": data for i, data in enumerate(coloured_pictures)}])


def _row(sample_id, turns, images):
    return {
        "sample_id": sample_id,
        "messages": json.dumps(build_conversation(turns, len(images))),
        "images": images,
    }


def _trained_text(processor, ids, labels):
    return processor.tokenizer.decode(ids[labels != IGNORED], skip_special_tokens=False)


def test_labels_are_the_answers_and_their_end_tokens(processor, pictures):
    rows = [
        _row("a", [("What colour?", "red"), ("How many?", "I see two. Answer: 2")], ["p0"]),
        _row("b", [("Is there a red square?", "no")], ["p4"]),
    ]
    batch = ConversationCollator(processor, pictures)(rows)
    assert (
        _trained_text(processor, batch["input_ids"][0], batch["labels"][0])
        == "red<|im_end|>I see two. Answer: 2<|im_end|>"
    )
    assert _trained_text(processor, batch["input_ids"][1], batch["labels"][1]) == "no<|im_end|>"
    assert batch["sample_ids"] == ["a", "b"]
    assert batch["image_grid_thw"].shape == (2, 3)
    kept = batch["labels"] != IGNORED
    assert torch.equal(batch["labels"][kept], batch["input_ids"][kept])
    assert not (kept & (batch["attention_mask"] == 0)).any()


def _turn(role, *parts):
    content = [{"type": "image"} if part == "<image>" else {"type": "text", "text": part} for part in parts]
    return {"role": role, "content": content}


def test_golden_labels_of_a_conversation_with_images_in_several_turns(processor, pictures):
    """Every token, from the template's pieces: control tokens end pieces, so each is tokenized by itself.

    One vision token covers patch x merge = 16 x 16 px: p0 (48 x 48 px) has 3 x 3, p2 (48 x 64) 3 x 4, p5 (64
    x 32) 4 x 2.
    """
    messages = [
        _turn("system", "Be brief."),
        _turn("user", "<image>", "What colour?"),
        _turn("assistant", "red"),
        _turn("user", "And ", "<image>", " or ", "<image>", "?"),
        _turn("assistant", "no. Answer: left"),
    ]
    encode = processor.tokenizer.encode
    start, end = encode("<|im_start|>"), encode("<|im_end|>")

    def image(tokens):
        return encode("<|vision_start|>") + encode("<|image_pad|>") * tokens + encode("<|vision_end|>")

    def said(role, *pieces):
        ids = [token for piece in pieces for token in (piece if isinstance(piece, list) else encode(piece))]
        head = start + encode(f"{role}\n")
        masked = [IGNORED] * len(ids + end)
        labels = [IGNORED] * len(head) + (ids + end if role == "assistant" else masked) + [IGNORED]
        return head + ids + end + encode("\n"), labels

    turns = [
        said("system", "Be brief."),
        said("user", image(9), "What colour?"),
        said("assistant", "red"),
        said("user", "And ", image(12), " or ", image(8), "?"),
        said("assistant", "no. Answer: left"),
    ]
    row = {"sample_id": "a", "messages": json.dumps(messages), "images": ["p0", "p2", "p5"]}
    batch = ConversationCollator(processor, pictures)([row])
    assert batch["input_ids"][0].tolist() == [token for ids, _ in turns for token in ids]
    assert batch["labels"][0].tolist() == [label for _, labels in turns for label in labels]
    assert batch["image_grid_thw"].prod(1).tolist() == [4 * 9, 4 * 12, 4 * 8]


def test_samples_without_and_with_several_images_share_a_batch(processor, pictures, tiny_checkpoint):
    rows = [_row("none", [("Why?", "yes")], []), _row("two", [("Which?", "no")], ["p0", "p5"])]
    batch = ConversationCollator(processor, pictures)(rows)
    counts = (batch["input_ids"] == processor.image_token_id).sum(1).tolist()
    assert counts == [0, int(batch["image_grid_thw"].prod(1).sum()) // 4]
    inputs = {key: value for key, value in batch.items() if key not in ("labels", "sample_ids")}
    assert load_model(tiny_checkpoint)(**inputs).logits.isfinite().all()
    assert "pixel_values" not in ConversationCollator(processor, pictures)(rows[:1])


def test_a_stand_in_lets_texts_use_the_vision_tower(processor, pictures, tiny_checkpoint):
    """One more row, without labels: losses are those of the texts alone, and every parameter has a
    gradient."""
    rows = [
        _row("a", [("Why?", "yes"), ("Which letter is shown?", "A")], []),
        _row("b", [("Is it blue?", "no")], []),
    ]
    plain = ConversationCollator(processor, pictures)(rows)
    stood_in = ConversationCollator(processor, pictures, stand_in=True)(rows)
    assert stood_in["sample_ids"] == ["a", "b"]
    assert (stood_in["labels"][2] == IGNORED).all()
    model = load_model(tiny_checkpoint, dtype="float32")
    losses = [
        model(**{name: value for name, value in batch.items() if name != "sample_ids"}).loss
        for batch in (plain, stood_in)
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-6)
    losses[1].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    shown = ConversationCollator(processor, pictures, stand_in=True)(
        [rows[0], _row("c", [("q", "a")], ["p0"])]
    )
    assert len(shown["labels"]) == 2


def test_preference_batch_is_chosen_then_rejected(processor, pictures):
    rows = [
        {
            "sample_id": "a",
            "prompt": "Is there a red square?",
            "chosen": "no",
            "rejected": "yes",
            "images": ["p0"],
        },
        {
            "sample_id": "b",
            "prompt": "How many?",
            "chosen": "2",
            "rejected": "One and one. Answer: 2",
            "images": ["p4"],
        },
    ]
    batch = PreferenceCollator(processor, pictures)(rows)
    texts = [
        processor.tokenizer.decode(ids[mask == 1], skip_special_tokens=False)
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    assert texts == ["no<|im_end|>", "2<|im_end|>", "yes<|im_end|>", "One and one. Answer: 2<|im_end|>"]
    assert batch["image_grid_thw"].tolist() == batch["image_grid_thw"][:2].tolist() * 2


def test_answer_spans_on_token_sequences():
    """Header 1 2, end 9. Spans include the end token; a last answer without one runs to the end."""
    assert answer_spans([5, 1, 2, 7, 8, 9, 6, 1, 2, 7], [1, 2], 9) == [(3, 6), (9, 10)]
    assert answer_spans([5, 1, 2], [1, 2], 9) == [(3, 3)]
    assert answer_spans([5, 9, 1, 7], [1, 2], 9) == []


def test_unknown_picture_is_an_error(pictures):
    with pytest.raises(DataError, match="none of the image datasets"):
        pictures.get("absent")
