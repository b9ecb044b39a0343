"""Qwen2-VL (arXiv 2409.12191) and Qwen2.5-VL (arXiv 2502.13923): no DeepStack, so no cached features."""

from components.core.vlm.families.qwen.qwen3_vl import QwenVL

FAMILY = QwenVL(name="Qwen2-VL, Qwen2.5-VL", model_types=("qwen2_vl", "qwen2_5_vl"))
