from __future__ import annotations

import json

import pytest
import torch
from transformers import ProcessorMixin, Qwen3VLProcessor

from components.core.stage.errors import DataError
from components.core.vlm import (
    build_conversation,
    format_question,
    load_model,
    load_processor,
    open_image,
    prompt_text,
    vision_token_count,
)


def test_loads_as_a_qwen3vl_processor(tiny_checkpoint):
    processor = load_processor(tiny_checkpoint)
    assert isinstance(processor, Qwen3VLProcessor)
    assert isinstance(processor, ProcessorMixin)  # what TRL's trainers accept as processing_class


def test_placeholder_count_is_predicted_from_the_size(tiny_checkpoint, coloured_pictures):
    processor = load_processor(tiny_checkpoint)
    for data in coloured_pictures:
        picture = open_image(data)
        inputs = processor(text=prompt_text(processor, "What colour?"), images=picture, return_tensors="pt")
        count = int((inputs["input_ids"] == processor.image_token_id).sum())
        assert count == vision_token_count(processor, picture.height, picture.width)
        assert count * 4 == inputs["pixel_values"].shape[0]


def test_reload_gives_the_same_inputs(tiny_checkpoint, coloured_pictures, tmp_path):
    first = load_processor(tiny_checkpoint)
    first.save_pretrained(tmp_path)
    second = load_processor(tmp_path)
    messages = build_conversation([(format_question("Which?", ["red", "green"]), "A")])
    pictures = [open_image(coloured_pictures[0])]
    a, b = (
        p(text=p.apply_chat_template(messages, tokenize=False), images=pictures, return_tensors="pt")
        for p in (first, second)
    )
    assert (
        set(a)
        == set(b)
        == {"input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw"}
    )
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_saved_settings_are_those_of_a_full_processor(tiny_checkpoint, tmp_path):
    """A checkpoint written without torchvision must load where torchvision and its video half exist."""
    load_processor(tiny_checkpoint).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["processor_class"] == "Qwen3VLProcessor"
    assert saved["video_processor"]["patch_size"] == saved["image_processor"]["patch_size"] == 8


def test_apply_chat_template_tokenizes_with_pictures(tiny_checkpoint, coloured_pictures):
    processor = load_processor(tiny_checkpoint)
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": open_image(coloured_pictures[0])},
                {"type": "text", "text": "What colour?"},
            ],
        }
    ]
    inputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    assert inputs["image_grid_thw"].tolist() == [[1, 6, 6]]
    with torch.no_grad():
        logits = load_model(tiny_checkpoint)(**inputs).logits
    assert logits.shape[:2] == inputs["input_ids"].shape


def test_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(DataError, match="tokenizer_config.json"):
        load_processor(tmp_path / "absent")
    with pytest.raises(DataError, match="config.json"):
        load_model(tmp_path / "absent")
