"""A larger model that begins as a smaller one: layers are added that at first do nothing.

A new layer is a copy of the one before it whose two projections into the residual stream are zero (as in
bert2BERT, arXiv 2110.07143, and LLaMA Pro, arXiv 2401.02415). So the grown model gives the same numbers, has
the same tokenizer and processor, and learns further from there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration

from components.core.data.checkpoint import commit_checkpoint
from components.core.vlm import load_model, load_processor

GROWTH = 3.25
"""Layers of the larger model for one of the smaller: about three times the parameters of the demo's model."""
_LAYER = re.compile(r"(?P<tower>.*(?:language_model\.layers|visual\.blocks)\.)(?P<number>\d+)(?P<rest>\..*)")
_OUT = (
    "self_attn.o_proj.weight", "mlp.down_proj.weight",
    "attn.proj.weight", "attn.proj.bias", "mlp.linear_fc2.weight", "mlp.linear_fc2.bias",
)  # fmt: skip
"""Projections into the residual stream, of language and vision layers."""


def places(layers: int, grown: int) -> list[int]:
    """Where each layer of the smaller model stands in the larger; the first one stays the first."""
    return [number * grown // layers for number in range(layers)]


def grow(checkpoint: Path, out: Path, growth: float = GROWTH) -> Path:
    """Write a Qwen3-VL with `growth` times the layers, in language model and vision tower; sealed."""
    small: Any = load_model(checkpoint, "float32", device="cpu")
    config = type(small.config).from_dict(small.config.to_dict())
    text, vision = config.text_config, config.vision_config
    towers = {
        "language_model.layers.": (text.num_hidden_layers, round(text.num_hidden_layers * growth)),
        "visual.blocks.": (vision.depth, round(vision.depth * growth)),
    }
    text.num_hidden_layers, vision.depth = (grown for _, grown in towers.values())
    if getattr(text, "layer_types", None):
        text.layer_types = ["full_attention"] * text.num_hidden_layers
    moved = places(*towers["visual.blocks."])
    vision.deepstack_visual_indexes = [moved[number] for number in vision.deepstack_visual_indexes]
    large: Any = Qwen3VLForConditionalGeneration(config)
    large.load_state_dict(_grown_weights(small.state_dict(), large.state_dict(), towers))
    large.generation_config = small.generation_config
    large.save_pretrained(out)
    load_processor(checkpoint).save_pretrained(out)
    commit_checkpoint(out, provenance={"made_by": "benchmarks.rl.grown"})
    return out


def _grown_weights(
    small: dict[str, torch.Tensor], large: dict[str, torch.Tensor], towers: dict[str, tuple[int, int]]
) -> dict[str, torch.Tensor]:
    weights = {}
    for name, value in large.items():
        found = _LAYER.fullmatch(name)
        if found is None:
            weights[name] = small[name]
            continue
        layers, grown = next(sizes for tower, sizes in towers.items() if found["tower"].endswith(tower))
        number, at = int(found["number"]), places(layers, grown)
        before = max(old for old, place in enumerate(at) if place <= number)
        copied = small[f"{found['tower']}{before}{found['rest']}"]
        idle = number not in at and name.endswith(_OUT)
        weights[name] = torch.zeros_like(value) if idle else copied.clone()
    return weights
