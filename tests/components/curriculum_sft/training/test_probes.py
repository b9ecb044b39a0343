from __future__ import annotations

import io
import math

import pytest
import torch
from PIL import Image

from components.core.vlm import build_conversation, load_model, load_processor
from components.core.vlm.messages import images_in, words
from components.curriculum_sft.data.batches import ConversationCollator
from components.curriculum_sft.data.samples import sample
from components.curriculum_sft.packing.forward import SEGMENTED, use_packed_attention
from components.curriculum_sft.training.probes import first_turn, inference, one_in_turn, row_losses


class Stored:
    """Pictures by id, from memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def get(self, image_id: str) -> bytes:
        return self.data


@pytest.fixture
def png():
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def rows():
    turns = [("What colour is it?", "red"), ("And now?", "still red")]
    return [sample("a", turns, "i"), sample("b", turns[:1], "i"), sample("c", turns[1:], "i", "general")]


def test_every_source_has_its_first_rows_with_a_picture(rows):
    text_only = {**rows[0], "sample_id": "t", "image_ids": [], "source": "general"}
    assert [row["sample_id"] for row in one_in_turn([text_only, *rows], 1)] == ["c", "a"]
    assert one_in_turn(rows, 0) == []


def test_the_first_turn_of_samples_and_pairs(rows):
    question, answer = first_turn(rows[0])
    assert (images_in(question), words(question), answer) == (1, "What colour is it?", "red")
    question, answer = first_turn(
        {"prompt": "Which?", "chosen": "this", "rejected": "that", "image_ids": ["i"]}
    )
    assert (images_in(question), words(question), answer) == (1, "Which?", "this")


def test_row_losses_are_those_of_the_rows_alone(rows, tiny_checkpoint, png):
    """The model's own loss of one row is the mean over its labelled tokens."""
    model = load_model(tiny_checkpoint, dtype="float32", attn="sdpa").eval()
    collate = ConversationCollator(load_processor(tiny_checkpoint), Stored(png))
    named = [{**row, "images": row["image_ids"]} for row in rows]
    together = row_losses(model, collate(named))
    for row, loss in zip(named, together, strict=True):
        batch = collate([row])
        batch.pop("sample_ids")
        with torch.no_grad():
            assert math.isclose(loss, model(**batch).loss.item(), rel_tol=1e-5)


def test_packed_attention_is_set_aside_and_comes_back(rows, tiny_checkpoint, png):
    model = load_model(tiny_checkpoint, dtype="float32", attn="sdpa")
    collate = ConversationCollator(load_processor(tiny_checkpoint), Stored(png))
    batch = collate([{**row, "images": row["image_ids"]} for row in rows])
    with inference(model):
        before = row_losses(model, batch)
    use_packed_attention(model, "sdpa")
    model.train()
    with inference(model):
        assert not model.training
        assert row_losses(model, batch) == pytest.approx(before)
    assert model.training
    assert model.model.language_model.config._attn_implementation == SEGMENTED


def test_a_conversation_without_pictures_in_its_first_turn_shows_none():
    messages = build_conversation([("Hello", "Hi")], images=0)
    assert images_in(messages[0]["content"]) == 0
