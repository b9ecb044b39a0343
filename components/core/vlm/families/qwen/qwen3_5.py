"""Qwen3.5: linear attention in three of four layers, and thoughts that the prompt leaves empty."""

from components.core.vlm.families.qwen.qwen3_vl import QwenVL

FAMILY = QwenVL(
    name="Qwen3.5",
    model_types=("qwen3_5",),
    opening="<think>\n\n</think>\n\n",
    template_options={"enable_thinking": False},
    packing="its linear attention carries a state from one packed sample into the next",
    decodes_shared=False,
    shares_prompts=False,
)
