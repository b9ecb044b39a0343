"""Model FLOPs utilisation: how much of a GPU's matrix throughput a training run turns into updates.

MFU = tokens/s x FLOPs a token / peak FLOP/s (PaLM, arXiv 2204.02311, appendix B), with 6 FLOPs for each parameter and
token (2 forward, 4 backward); recomputed activations do not count. The vision tower sees `merge` x `merge` patches for
every vision token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from components.curriculum_sft.config import Config
from components.curriculum_sft.packing import fill
from components.curriculum_sft.samples import Row

# Dense bfloat16 peak in FLOP/s by a part of the device's name, from the makers' data sheets; longer names first.
_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
}


def peak_flops(device_name: str) -> float:
    """Dense bfloat16 FLOP/s of a GPU by its name; 0 for one that is not listed."""
    return next((peak for name, peak in _PEAKS.items() if name in device_name), 0.0)


def flops_per_token(model: Any, vision_share: float) -> float:
    """Floating-point operations of a forward and backward pass for each token, attention scores left out.

    Args:
        model: a Qwen3-VL style model; parameters that get no gradient count as the others.
        vision_share: share of the language model's tokens that are vision tokens, in [0, 1].
    """
    vision = sum(p.numel() for name, p in model.named_parameters() if ".visual." in f".{name}")
    embeddings = model.get_input_embeddings().weight
    tied = model.get_output_embeddings().weight is embeddings
    language = sum(p.numel() for p in model.parameters()) - vision
    multiplied = language if tied else language - embeddings.numel()
    merge = model.config.vision_config.spatial_merge_size
    return float(6 * (multiplied + vision * vision_share * merge**2))


def mfu(model: Any, tokens_per_s: float, vision_share: float) -> float:
    """Share of this process's GPU that its training used, in [0, 1]; 0 without a GPU whose peak is known.

    Args:
        model: see `flops_per_token`.
        tokens_per_s: of this process, vision tokens included.
        vision_share: see `flops_per_token`.
    """
    peak = peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else 0.0
    return tokens_per_s * flops_per_token(model, vision_share) / peak if peak else 0.0


def utilisation(trainer: Any, rows: Sequence[Row], tokens_per_s: float, config: Config) -> dict[str, float]:
    """Metrics of a finished training: `mfu` on a GPU whose peak is known, `packing_fill` where samples were packed."""
    measured = {}
    if vision := [row["vision_tokens"] for row in rows if "vision_tokens" in row]:
        share = sum(vision) / sum(row["length"] for row in rows)
        if used := mfu(trainer.accelerator.unwrap_model(trainer.model), tokens_per_s, share):
            measured["mfu"] = round(used, 4)
    if config.pack_tokens:
        packs = [row["pack"] for row in trainer.train_dataset]
        measured["packing_fill"] = round(fill(packs, [row["length"] for row in rows], config.pack_tokens), 4)
    return measured
