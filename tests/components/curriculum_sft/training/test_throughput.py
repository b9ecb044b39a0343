from __future__ import annotations

import pytest
from torch import nn

from components.core.vlm import load_model
from components.curriculum_sft.training.throughput import flops_per_token, peak_flops


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("Tesla V100", 0.0),
    ],
)
def test_the_longest_known_name_of_a_device_decides(name, peak):
    assert peak_flops(name) == peak


def test_flops_are_six_for_each_multiplied_parameter(tiny_checkpoint):
    """Text alone passes no vision tower; a tied embedding is multiplied once, as the head."""
    model = load_model(tiny_checkpoint, dtype="float32", attn="sdpa")
    total = sum(p.numel() for p in nn.Module.parameters(model))
    vision = sum(p.numel() for p in model.model.visual.parameters())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert flops_per_token(model, 0.0) == 6 * (total - vision)
    merged = model.config.vision_config.spatial_merge_size**2
    assert flops_per_token(model, 0.5) == 6 * (total - vision + 0.5 * merged * vision)
