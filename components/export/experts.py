"""A mixture's fused experts as linear layers, the form in which packed checkpoints hold them.

transformers keeps a layer's experts in two tensors: `gate_up_proj` (experts, 2 x inner, hidden), gate above
up, and `down_proj` (experts, hidden, inner). compressed-tensors quantises linear layers. vLLM looks for each
expert's own, `mlp.experts.7.gate_proj.weight_packed`, and so does transformers (`DecompressExperts`).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from components.core.stage.errors import ConfigError

APART = "experts.*.gate_proj.weight"
"""How transformers' conversions name the weights of single experts."""


def unfuse(model: nn.Module) -> list[str]:
    """Replace fused experts by linear layers, whose weights are views of theirs. The model cannot run then.

    Returns:
        Patterns of the routers beside them, which stay as they are; empty without experts.

    Raises:
        ConfigError: the experts have biases, or are interleaved, transposed or without gates: packed
            checkpoints have no such form.
    """
    routers = set()
    for name, fused in [(name, module) for name, module in model.named_modules() if _is_fused(module)]:
        if fused.has_bias or fused.is_transposed or not (fused.has_gate and fused.is_concatenated):
            raise ConfigError(
                f"export: {type(fused).__name__} ({name}) keeps biases or another order of weights, "
                "for which packed checkpoints have no form; serve the checkpoint as it is"
            )
        parent = name.rpartition(".")[0]
        routers |= {
            rf"re:(.*\.)?{re.escape(parent.rpartition('.')[2])}\.{re.escape(child)}$"
            for child, _ in model.get_submodule(parent).named_children()
            if "gate" in child or "router" in child
        }
        model.set_submodule(name, nn.ModuleList(map(_expert, fused.gate_up_proj, fused.down_proj)))
    return sorted(routers)


def read_apart(model_type: str) -> bool:
    """Whether transformers reads the experts of a language model of this type one by one."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    rules = get_checkpoint_conversion_mapping(model_type) or ()
    return any(pattern.endswith(APART) for rule in rules for pattern in rule.source_patterns)


def _is_fused(module: Any) -> bool:
    # transformers' decorator `use_experts_implementation` marks every class of experts so.
    return hasattr(module, "has_gate") and hasattr(module, "is_concatenated")


def _expert(gate_up: torch.Tensor, down: torch.Tensor) -> nn.Module:
    gate, up = gate_up.detach().chunk(2)
    expert = nn.Module()
    for name, weight in (("gate_proj", gate), ("up_proj", up), ("down_proj", down.detach())):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        layer.weight = nn.Parameter(weight, requires_grad=False)
        expert.add_module(name, layer)
    return expert
