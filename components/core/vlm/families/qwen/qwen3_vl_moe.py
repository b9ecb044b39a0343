"""Qwen3-VL with a mixture of experts: as Qwen3-VL, with fused expert weights."""

from components.core.vlm.families.qwen.qwen3_vl import QwenVL

FAMILY = QwenVL(
    name="Qwen3-VL-MoE",
    model_types=("qwen3_vl_moe",),
    experts=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
    shares_vision=True,
    apart="qwen3_moe",
)
