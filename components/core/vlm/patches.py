"""Patch embeddings as what they are: one matrix product.

Qwen's towers embed patches by a Conv3d whose kernel is the whole patch. Some versions of cuDNN have no fast
kernel for it, and on a CPU it takes three to four times as long. transformers' own `fusion_config` renames
the weights; here names and shapes stay, for adapters, checkpoints and sharding.
"""

from __future__ import annotations

import torch
from torch import nn


class PatchProjection(nn.Conv3d):
    """A Conv3d without overlap or padding; on inputs of the kernel's size, a matrix product."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(patches, channels, time, height, width) to (patches, features, 1, 1, 1)."""
        if tuple(input.shape[-3:]) != self.kernel_size:
            return super().forward(input)
        features = nn.functional.linear(input.flatten(1), self.weight.flatten(1), self.bias)
        return features[..., None, None, None]


def project_patches(model: nn.Module) -> nn.Module:
    """Let every such Conv3d of the model compute a matrix product; returns the model."""
    for module in model.modules():
        if type(module) is nn.Conv3d and _without_overlap(module):
            module.__class__ = PatchProjection
    return model


def _without_overlap(conv: nn.Conv3d) -> bool:
    return (
        conv.stride == conv.kernel_size
        and conv.padding == (0, 0, 0)
        and conv.dilation == (1, 1, 1)
        and conv.groups == 1
    )
