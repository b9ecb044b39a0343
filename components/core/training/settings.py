"""Settings that both training stages have: adapters, weights, sharding. Loads nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.core.stage.settings import Settings

Sharding = Literal["none", "zero2", "zero3"]
"""DeepSpeed's ZeRO (arXiv 1910.02054): stage 2 shares out optimizer states and gradients, 3 weights too."""
WeightType = Literal["float32", "bfloat16"]
"""Number format of the weights in memory."""
Attention = Literal["sdpa", "flash_attention_2", "eager"]
"""Attention implementation."""


class Lora(Settings):
    """Low-rank adapters (arXiv 2106.09685) in place of full fine-tuning, merged into the saved weights."""

    rank: int = Field(default=64, ge=1)
    """Rank of the update."""
    alpha: float = Field(default=128.0, gt=0)
    """Scale of the update; it is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapters' input."""
    target_modules: list[str] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    """Names of the linear modules that get adapters."""


def check_weights(weights: WeightType, lora: Lora | None, sharding: Sharding, precision: str) -> None:
    """Refuse weights in bfloat16 where updates would be lost in their rounding.

    bfloat16 holds 8 bits: an update below 1/256 of a weight changes nothing. Adapters and ZeRO's master
    copies are float32.

    Raises:
        ValueError: nothing holds the trained weights in float32, or the passes are to be float32.
    """
    if weights == "float32":
        return
    if precision == "float32":
        raise ValueError("weight_type bfloat16 is for passes in bfloat16; set weight_type float32")
    if lora is None and sharding == "none":
        raise ValueError(
            "weight_type bfloat16 loses small updates in rounding; set lora, sharding (which keeps copies in "
            "float32) or weight_type float32"
        )
