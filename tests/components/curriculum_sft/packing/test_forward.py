"""A packed forward pass is the padded one, token by token."""

from __future__ import annotations

import json

import pytest
import torch

from components.core.stage.errors import ConfigError
from components.core.vlm import build_conversation, load_model, load_processor
from components.curriculum_sft.data.batches import ConversationCollator, PictureStores
from components.curriculum_sft.packing.forward import flatten, use_packed_attention

TURNS = [
    ([("What colour?", "red"), ("How many?", "I see two. Answer: 2")], ["p0"]),
    ([("Why?", "yes")], []),
    ([("Which is left?", "no"), ("Is it blue?", "yes")], ["p4", "p1"]),
    ([("Is there a red square?", "no")], ["p5"]),
]

LATER_IMAGES = {
    "sample_id": "images in later turns",
    "messages": json.dumps(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Which letter is shown?"},
            {"role": "assistant", "content": "A"},
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "And "}, {"type": "image"}],
            },
            {"role": "assistant", "content": "B. Answer: left"},
            {"role": "user", "content": [{"type": "text", "text": "How many?"}, {"type": "image"}]},
            {"role": "assistant", "content": "3"},
        ]
    ),
    "images": ["p2", "p5", "p0"],
}


@pytest.fixture
def batch(tiny_checkpoint, coloured_pictures):
    collate = ConversationCollator(
        load_processor(tiny_checkpoint),
        PictureStores([{f"p{i}": data for i, data in enumerate(coloured_pictures)}]),
    )
    rows = [
        {
            "sample_id": str(n),
            "messages": json.dumps(build_conversation(turns, len(images))),
            "images": images,
        }
        for n, (turns, images) in enumerate(TURNS)
    ]
    batch = collate([rows[0], LATER_IMAGES, *rows[1:]])
    batch.pop("sample_ids")
    return batch


def _losses(model, inputs):
    """Loss of every supervised token, in the order of samples, and the gradient of their mean."""
    model.zero_grad()
    given = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**given, use_cache=False).logits[:, :-1]
    targets = inputs["labels"][:, 1:]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    kept = losses[targets != -100]
    kept.mean().backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return kept.detach(), gradient.clone()


def test_packed_and_padded_losses_and_gradients_agree(tiny_checkpoint, batch):
    model = load_model(tiny_checkpoint, dtype="float32")
    padded, padded_gradient = _losses(model, batch)
    packed_batch = flatten(batch, model.model.get_rope_index)
    use_packed_attention(model, "sdpa")
    packed, packed_gradient = _losses(model, packed_batch)
    assert packed_batch["input_ids"].shape == (1, int(batch["attention_mask"].sum()))
    assert len(packed) == int((batch["labels"][:, 1:] != -100).sum())
    assert torch.allclose(packed, padded, atol=1e-5, rtol=0)
    assert abs(packed.mean() - padded.mean()) <= 1e-5
    assert (packed_gradient - padded_gradient).norm() <= 1e-4 * padded_gradient.norm()


def test_texts_alone_are_packed_too(tiny_checkpoint):
    """No picture in the whole row: no pixel values, and rotary positions that are those of text."""
    model = load_model(tiny_checkpoint, dtype="float32")
    collate = ConversationCollator(load_processor(tiny_checkpoint), PictureStores([]))
    rows = [
        {
            "sample_id": text,
            "messages": json.dumps(build_conversation([(text, "yes"), ("Why?", "no")], 0)),
            "images": [],
        }
        for text in ("Is it blue?", "Which is left, and how many are there?")
    ]
    texts = collate(rows)
    texts.pop("sample_ids")
    padded, _ = _losses(model, texts)
    row = flatten(texts, model.model.get_rope_index)
    use_packed_attention(model, "sdpa")
    assert torch.allclose(_losses(model, row)[0], padded, atol=1e-5, rtol=0)


def test_without_boundaries_samples_would_see_each_other(tiny_checkpoint, batch):
    model = load_model(tiny_checkpoint, dtype="float32")
    padded, _ = _losses(model, batch)
    row = flatten(batch, model.model.get_rope_index)
    row["position_ids"] = row["position_ids"][
        1:
    ]  # rotary positions alone: plain causal attention over the row
    mixed, _ = _losses(model, row)
    assert not torch.allclose(mixed, padded, atol=1e-3)


def test_positions_restart_with_every_sample(tiny_checkpoint, batch):
    model = load_model(tiny_checkpoint, dtype="float32")
    positions = flatten(batch, model.model.get_rope_index)["position_ids"]
    lengths = batch["attention_mask"].sum(1).tolist()
    assert positions.shape == (4, 1, sum(lengths))
    assert positions[0, 0].tolist() == [t for length in lengths for t in range(length)]
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    assert (positions[:, 0, starts] == 0).all()


def test_attention_that_would_mix_samples_is_refused(tiny_checkpoint):
    with pytest.raises(ConfigError, match="packing needs attention"):
        use_packed_attention(load_model(tiny_checkpoint, dtype="float32"), "eager")
