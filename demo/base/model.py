"""The demo's base model: a Qwen3-VL of three million parameters, trained from scratch on the general task.

Only the sizes differ. Classes, checkpoint files and chat format are those of the large models, so every stage
runs its production code.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from components.core.data.checkpoint import Checkpoint, commit_checkpoint
from components.core.vlm import build_processor
from demo import general
from demo.base.pretraining import pretrain
from demo.base.settings import BaseSettings, ModelSizes, content_key, find_base_model
from demo.base.tokenizer import build_tokenizer
from demo.conversation import Encoder

CONTEXT_TOKENS = 4096
ROPE_THETA = 5_000_000.0
MIN_PIXELS = 1024


def build_config(tokenizer: PreTrainedTokenizerFast, sizes: ModelSizes) -> Qwen3VLConfig:
    """The Qwen3-VL configuration for these sizes and this vocabulary."""
    # M-RoPE splits a head's frequencies over time, height and width.
    along_side = sizes.head_dim // 2 // 3
    grid = general.SIZE_PX // sizes.patch_px
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": sizes.hidden,
            "intermediate_size": sizes.feed_forward,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.key_value_heads,
            "head_dim": sizes.head_dim,
            "max_position_embeddings": CONTEXT_TOKENS,
            "initializer_range": sizes.initial_std,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": ROPE_THETA,
                "mrope_section": [sizes.head_dim // 2 - 2 * along_side, along_side, along_side],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
        },
        vision_config={
            "depth": sizes.vision_layers,
            "hidden_size": sizes.vision_hidden,
            "intermediate_size": sizes.vision_feed_forward,
            "num_heads": sizes.vision_heads,
            "patch_size": sizes.patch_px,
            "spatial_merge_size": 1,
            "temporal_patch_size": 1,
            "out_hidden_size": sizes.hidden,
            "num_position_embeddings": grid**2,
            "deepstack_visual_indexes": [1],
            "initializer_range": sizes.initial_std,
        },
        tie_word_embeddings=True,
        initializer_range=sizes.initial_std,
        **{key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()},
    )


def build_model(config: Qwen3VLConfig, seed: int) -> Qwen3VLForConditionalGeneration:
    """A new model. The projections that write into the residual stream start at zero. So at first every token
    is itself and not the noise of untrained layers, which shortens training a little."""
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if (
                name.endswith(("o_proj.weight", "down_proj.weight"))
                or "deepstack_merger_list.0.linear_fc2" in name
            ):
                parameter.zero_()
    return model


def ensure_base_model(out: Path, settings: BaseSettings | None = None) -> Checkpoint:
    """Train the base model into the directory `out`, in float16, or return at once if it is there and whole.

    Interrupted training continues where it was on the next call.
    """
    settings = settings or BaseSettings()
    key = content_key(settings)
    if kept := find_base_model(out, key):
        return kept
    tokenizer = build_tokenizer()
    sizes = settings.sizes
    processor: Any = build_processor(
        tokenizer,
        patch_size=sizes.patch_px,
        merge_size=1,
        temporal_patch_size=1,
        min_pixels=MIN_PIXELS,
        max_pixels=general.SIZE_PX**2,
    )
    model = build_model(build_config(tokenizer, sizes), settings.seed)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    work = out.with_name(f".{out.name}_work")
    curve = pretrain(model, Encoder(processor, general.SIZE_PX // sizes.patch_px), settings, work, key)
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    model.to(torch.float16).save_pretrained(out)
    processor.save_pretrained(out)
    checkpoint = commit_checkpoint(
        out, provenance={"made_by": "demo.base"}, extra={"content_key": key, "curve": curve}
    )
    shutil.rmtree(work)
    return checkpoint
