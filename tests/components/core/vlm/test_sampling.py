from __future__ import annotations

import pytest
import torch

from components.core.vlm import (
    count_parameters,
    generate,
    load_model,
    load_processor,
    open_image,
    prompt_text,
)

PROMPTS = ["What colour is it?", "How many circles are there in this picture? Count them.", "Why?"]


@pytest.fixture(scope="module")
def loaded(tiny_checkpoint):
    return load_model(tiny_checkpoint), load_processor(tiny_checkpoint)


@pytest.fixture(scope="module")
def items(coloured_pictures):
    return [(picture, PROMPTS[i % 3]) for i, picture in enumerate(coloured_pictures)]


def test_greedy_equals_transformers_generate(loaded, items):
    """Same tokens as `GenerationMixin.generate`, one prompt at a time and unpadded."""
    model, processor = loaded
    ours = generate(model, processor, items, max_new_tokens=8, batch_size=4)
    suppressed = [
        processor.tokenizer.convert_tokens_to_ids(t)
        for t in ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>")
    ]
    for (picture, text), completions in zip(items, ours, strict=True):
        inputs = processor(
            text=[prompt_text(processor, text)], images=[open_image(picture)], return_tensors="pt"
        )
        ids = model.generate(**inputs, max_new_tokens=8, do_sample=False, suppress_tokens=suppressed)
        new = ids[0, inputs["input_ids"].shape[1] :]
        assert completions[0].text == processor.tokenizer.decode(new, skip_special_tokens=True).strip()
        assert completions[0].tokens == len(new)


def test_samples_do_not_depend_on_the_batch(loaded, items):
    model, processor = loaded
    runs = [
        generate(
            model, processor, items, max_new_tokens=6, temperature=1.0, num_samples=4, batch_size=size, seed=3
        )
        for size in (4, 24)
    ]
    assert runs[0] == runs[1]
    assert [len(samples) for samples in runs[0]] == [4] * len(items)
    assert any(len({c.text for c in samples}) > 1 for samples in runs[0])
    assert runs[0] != generate(
        model, processor, items, max_new_tokens=6, temperature=1.0, num_samples=4, seed=4
    )


def test_ended_rows_leave_the_batch_and_count_their_end_token(loaded, items):
    """With the end token's logit raised, responses end at different lengths; each is as if decoded alone."""
    model, processor = loaded
    end = processor.tokenizer.eos_token_id
    bias = torch.zeros(model.lm_head.out_features)
    bias[end] = 3.0
    handle = model.lm_head.register_forward_hook(lambda _m, _i, out: out + bias)
    try:
        kwargs = {"max_new_tokens": 12, "temperature": 1.0, "num_samples": 3, "seed": 1}
        together = generate(model, processor, items, **kwargs)
        alone = generate(model, processor, items, batch_size=3, **kwargs)
    finally:
        handle.remove()
    assert together == alone
    assert len({c.tokens for samples in together for c in samples}) > 2
    assert all(c.finished or c.tokens == 12 for samples in together for c in samples)


def test_vision_tokens_are_never_produced(loaded, items):
    model, processor = loaded
    image_id = processor.image_token_id
    bias = torch.zeros(model.lm_head.out_features)
    bias[image_id] = 1e4
    handle = model.lm_head.register_forward_hook(lambda _m, _i, out: out + bias)
    try:
        texts = [c.text for c in generate(model, processor, items, max_new_tokens=4)[0]]
    finally:
        handle.remove()
    assert all("image_pad" not in text for text in texts)


def test_progress_counts_every_item(loaded, items):
    model, processor = loaded
    seen: list[int] = []
    generate(model, processor, items, max_new_tokens=2, batch_size=4, on_batch=seen.append)
    assert seen == [4, 2]


def test_no_items_no_work(loaded):
    assert generate(*loaded, []) == []


def test_parameters_are_counted_by_part(loaded):
    counts = count_parameters(loaded[0])
    assert counts["vision"] + counts["language"] == counts["total"] == counts["trainable"]
