"""Patch embeddings as a product: the convolution's values and gradients, under the same names."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from components.core.vlm import load_model
from components.core.vlm.patches import PatchProjection, project_patches


@pytest.fixture
def embedding():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 8, (2, 4, 4), stride=(2, 4, 4)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_the_convolutions(embedding, dtype):
    product = project_patches(copy.deepcopy(embedding))
    found = []
    for model in (embedding.to(dtype), product.to(dtype)):
        patches = torch.randn(5, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
        output = model(patches.requires_grad_())
        output.square().sum().backward()
        found.append([output.detach(), patches.grad, *(p.grad for p in model.parameters())])
    for convolved, multiplied in zip(*found, strict=True):
        torch.testing.assert_close(multiplied, convolved)
    assert product.state_dict().keys() == embedding.state_dict().keys()
    assert product[0].weight.shape == embedding[0].weight.shape


def test_a_larger_picture_is_convolved(embedding):
    pictures = torch.randn(2, 3, 4, 8, 12)
    torch.testing.assert_close(project_patches(copy.deepcopy(embedding))(pictures), embedding(pictures))


@pytest.mark.parametrize("other", [{"padding": 1}, {"stride": 1}, {"dilation": 2}, {"groups": 3}])
def test_other_convolutions_stay(other):
    settings = {"kernel_size": 2, "stride": 2, **other}
    assert type(project_patches(nn.Conv3d(3, 6, **settings))) is nn.Conv3d


def test_a_loaded_model_answers_as_transformers_own(tiny_checkpoint):
    ours = load_model(tiny_checkpoint, "float32", device="cpu")
    theirs = AutoModelForImageTextToText.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    assert isinstance(ours.model.visual.patch_embed.proj, PatchProjection)
    grid = torch.tensor([[1, 4, 4]])
    patches = torch.randn(16, theirs.model.visual.patch_embed.proj.weight[0].numel())
    with torch.no_grad():
        found, expected = (
            model.model.visual(patches, grid_thw=grid).pooler_output for model in (ours, theirs)
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
