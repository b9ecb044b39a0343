"""Model FLOPs utilisation (MFU): the share of a GPU's throughput that a training run turns into updates.

MFU = tokens/s x FLOPs a token / peak FLOP/s (PaLM, arXiv 2204.02311, appendix B). A token costs 6 FLOPs a
parameter (2 forward, 4 backward); recomputed activations do not count. The vision tower sees
several patches for every vision token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from components.core.plan.gpus import peak_flops
from components.core.vlm import count_parameters
from components.core.vlm.families import family_of
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.samples import Row
from components.curriculum_sft.packing.plan import fill


def flops_per_token(model: Any, vision_share: float) -> float:
    """Floating-point operations of a forward and backward pass for each token, attention scores left out.

    Args:
        model: of any supported family; parameters that get no gradient count as the others. Of a mixture's
            experts those count that a token passes.
        vision_share: share of the language model's tokens that are vision tokens, in [0, 1].
    """
    counts = count_parameters(model)
    embeddings = model.get_input_embeddings().weight
    tied = model.get_output_embeddings().weight is embeddings
    multiplied = counts["language"] - (0 if tied else embeddings.numel())
    family = family_of(model)
    experts = sum(p.numel() for name, p in model.named_parameters() if name.endswith(family.experts or "\n"))
    if experts:
        text = model.config.get_text_config()
        multiplied -= experts * (1 - text.num_experts_per_tok / text.num_experts)
    patches = family.patches_per_token(model.config)
    return float(6 * (multiplied + counts["vision"] * vision_share * patches))


def utilisation(trainer: Any, rows: Sequence[Row], tokens_per_s: float, config: Config) -> dict[str, float]:
    """Metrics `mfu` (on a GPU whose peak is known) and `packing_fill` (of packs), of this process."""
    measured = {}
    peak = peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else 0.0
    if peak and tokens_per_s:
        share = sum(row["vision_tokens"] for row in rows) / sum(row["length"] for row in rows)
        model = trainer.accelerator.unwrap_model(trainer.model)
        measured["mfu"] = round(tokens_per_s * flops_per_token(model, share) / peak, 4)
    if config.pack_tokens:
        packs = [row["pack"] for row in trainer.train_dataset]
        measured["packing_fill"] = round(fill(packs, [row["length"] for row in rows], config.pack_tokens), 4)
    return measured
