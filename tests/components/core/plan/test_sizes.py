"""Closed-form counts against the models that transformers builds, without memory for their weights."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, Qwen2_5_VLConfig

from components.core.plan.sizes import KNOWN, read_sizes, sizes_of
from components.core.stage.errors import DataError

QWEN_2_5 = Qwen2_5_VLConfig(
    text_config={"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1000,
                 "num_key_value_heads": 2, "intermediate_size": 512},
    vision_config={"depth": 2, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4,
                   "out_hidden_size": 256},
)  # fmt: skip


def built(config) -> dict[str, int]:
    """Parameters of the model on the meta device: all, of the vision tower, of the experts."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    named = [(f".{name}", parameter.numel()) for name, parameter in model.named_parameters()]
    parts = {"total": "", "vision": ".visual.", "expert": ".experts."}
    return {part: sum(size for name, size in named if mark in name) for part, mark in parts.items()}


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_model_is_counted_exactly(name):
    sizes = sizes_of(KNOWN[name])
    counted = built(AutoConfig.for_model(**json.loads(json.dumps(KNOWN[name]))))
    assert counted == {"total": sizes.total, "vision": sizes.vision, "expert": sizes.expert}


def test_qwen_2_5_is_counted_exactly():
    sizes = sizes_of(QWEN_2_5.to_dict())
    assert built(QWEN_2_5) == {"total": sizes.total, "vision": sizes.vision, "expert": 0}


def test_published_sizes():
    """The hub's pages of the models: 2.13, 8.77 and 31.1 B; 3.3 B active of the language model's 30.5 B."""
    total = {name: round(sizes_of(config).total / 1e9, 2) for name, config in KNOWN.items()}
    assert total["Qwen3-VL-2B-Instruct"] == 2.13 and total["Qwen3-VL-8B-Instruct"] == 8.77
    mixture = sizes_of(KNOWN["Qwen3-VL-30B-A3B-Instruct"])
    assert round(mixture.language / 1e9, 1) == 30.5 and 3.2e9 < mixture.active < 3.4e9


def test_headers_of_the_weights_say_the_total(tiny_checkpoint):
    sizes = read_sizes(tiny_checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(tiny_checkpoint)
    assert sizes.total == sum(parameter.numel() for parameter in model.parameters())


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="no sizes can be told"):
        sizes_of({"model_type": "other"})
    with pytest.raises(DataError, match=r"config\.json: cannot be read"):
        read_sizes(tmp_path)
