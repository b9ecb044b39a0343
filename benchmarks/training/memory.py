"""The memory formula of `components.core.plan.memory` against what the allocator is asked for, on a CPU.

    python -m benchmarks.training.memory

Small Qwen3-VL models with random weights take two steps of AdamW, each of two passes, so that weights,
gradients, states and activations are there at once. The measurement is the largest sum of living allocations
that torch's profiler sees, with the model's own weights.
Context and fragmentation are no part of either side.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.profiler import ProfilerActivity, profile
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from components.core.plan.memory import ADAPTED_PARTS, Training, training_memory
from components.core.plan.sizes import sizes_of

LIMIT = 0.15
"""Largest relative difference that a test accepts."""


@dataclass(frozen=True)
class Case:
    """A model and how it is trained."""

    name: str
    hidden: int = 192
    layers: int = 8
    intermediate: int = 512
    vocabulary: int = 1024
    batch: int = 2
    length: int = 384
    rank: int = 0
    recompute: bool = False
    patches: int = 0


CASES = (
    Case("all weights"),
    Case("all weights, recomputed", recompute=True, length=768),
    Case("all weights, large vocabulary", vocabulary=16384, layers=4),
    Case("adapters", rank=16),
    Case("adapters, recomputed", rank=16, recompute=True, length=768),
    Case("wide", hidden=512, intermediate=1536, layers=4, length=128),
    Case("with a picture", patches=1024, length=512),
)


def config_of(case: Case) -> Qwen3VLConfig:
    """The model's configuration."""
    text = {
        "hidden_size": case.hidden, "num_hidden_layers": case.layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": case.hidden // 4, "intermediate_size": case.intermediate,
        "vocab_size": case.vocabulary, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": _sections(case)},
    }  # fmt: skip
    vision = {
        "depth": 4, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4, "patch_size": 8,
        "temporal_patch_size": 1, "out_hidden_size": case.hidden, "deepstack_visual_indexes": [1],
        "num_position_embeddings": 1024,
    }  # fmt: skip
    special = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 7, "vision_end_token_id": 8}
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **special)


def _sections(case: Case) -> list[int]:
    """How the half of a head is shared out over time, height and width."""
    half = case.hidden // 8
    return [half - 2 * (half // 3), half // 3, half // 3]


def build(case: Case) -> Any:
    """The model with random weights, ready to be trained."""
    torch.manual_seed(0)
    model: Any = Qwen3VLForConditionalGeneration._from_config(config_of(case), attn_implementation="sdpa")
    if case.rank:
        model = get_peft_model(
            model,
            LoraConfig(r=case.rank, target_modules=rf".*language_model.*\.({'|'.join(ADAPTED_PARTS)})"),
        )
    elif not case.patches:
        model.model.visual.requires_grad_(False)
    if case.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return model.train()


def batch_of(case: Case) -> dict[str, torch.Tensor]:
    """One pass's tokens; with patches, the first sample begins with one picture."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(10, case.vocabulary, (case.batch, case.length), generator=generator)
    batch = {"input_ids": ids, "labels": ids.clone(), "attention_mask": torch.ones_like(ids)}
    if case.patches:
        side = int(case.patches**0.5)
        ids[0, 0], ids[0, 1 : 1 + case.patches // 4] = 7, 5
        batch["pixel_values"] = torch.randn(case.patches, 3 * 8 * 8, generator=generator)
        batch["image_grid_thw"] = torch.tensor([[1, side, side]])
        batch["mm_token_type_ids"] = (ids == 5).long()
    return batch


def measured(case: Case) -> int:
    """Bytes at the peak of the second step."""
    model, batch = build(case), batch_of(case)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, foreach=False)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        for _ in range(2):
            for _ in range(2):
                model(**batch, use_cache=False).loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return weights + max(_living(seen))


def _living(seen: Any) -> Iterator[int]:
    """The sum of living allocations after each of them."""
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        yield total


def planned(case: Case) -> Training:
    """The same training as the formula takes it."""
    return Training(
        tokens=case.batch * case.length, patches=case.patches, lora_rank=case.rank, recompute=case.recompute,
        vision_trained=bool(case.patches) and not case.rank,
    )  # fmt: skip


def compare(case: Case) -> dict[str, Any]:
    """Formula and measurement of one case, in bytes."""
    sizes = sizes_of(config_of(case).to_dict())
    memory = training_memory(sizes, planned(case), overhead=False)
    seen = measured(case)
    return {
        "case": case.name, "measured": seen, "formula": round(memory.total),
        "activations": round(memory.activations), "difference": round(memory.total / seen - 1, 4),
    }  # fmt: skip


def main() -> None:
    """Print a line for each case."""
    torch.set_num_threads(1)
    for case in CASES:
        print(json.dumps(compare(case)), flush=True)


if __name__ == "__main__":
    main()
