"""Low-rank adapters (LoRA, arXiv 2106.09685): where they sit, and the weights that they come to.

The delta of a weight is alpha / rank x B A, with A (rank, inputs) and B (outputs, rank).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from components.core.stage.errors import ConfigError
from components.core.training.settings import Lora

Gather = Callable[[Sequence[nn.Parameter]], AbstractContextManager[Any]]
"""Brings together parameters that are spread over processes, for the time of a block."""


def adapter_config(
    lora: Lora | None,
    model: nn.Module,
    frozen: Callable[[str], bool],
    stage: str,
    experts: Sequence[str] = (),
) -> Any:
    """The peft configuration of the settings; None without adapters.

    Args:
        model: the model that will get them.
        frozen: whether a module, by name, belongs to a part that is not trained: it gets no adapters.
        stage: names the setting in an error.
        experts: fused weights of a mixture's experts, by their names in a layer.

    A mixture's experts get adapters where `target_modules` names a projection that their fused weights hold.

    Raises:
        ConfigError: peft is not installed, no module of the model has one of the names, or fused experts
            would need dropout.
    """
    if lora is None:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError(
            f"{stage}.lora: needs the package peft; install it or remove the setting"
        ) from error
    ends = {name: name.rpartition(".")[2] for name, _ in model.named_modules()}
    reached = [name for name, end in ends.items() if end in lora.target_modules]
    left_out = [name for name in reached if frozen(name)]
    fused = _fused_experts(lora, experts, stage)
    if len(left_out) == len(reached) and not fused:
        kinds = sorted({ends[name] for name, part in model.named_modules() if isinstance(part, nn.Linear)})
        raise ConfigError(
            f"{stage}.lora.target_modules: no trained module of the model is called "
            f"{', '.join(lora.target_modules)}; its linear modules are {', '.join(kinds)}"
        )
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        target_parameters=fused or None,
        exclude_modules=left_out or None,
        task_type="CAUSAL_LM",
    )


def _fused_experts(lora: Lora, experts: Sequence[str], stage: str) -> list[str]:
    """Names of the experts' fused weights that get adapters; gate and up are one weight there."""
    wanted = {"gate_up_proj" if name in ("gate_proj", "up_proj") else name for name in lora.target_modules}
    fused = [name for name in experts if name.rsplit(".", 1)[-1] in wanted]
    if fused and lora.dropout:
        raise ConfigError(
            f"{stage}.lora.dropout: the model has fused experts, whose adapters take no dropout; set it to 0"
        )
    return fused


def bare(model: Any) -> Any:
    """The model without peft's wrapper; adapters stay, inside its layers."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def merged_parameters(
    model: Any, gather: Gather = lambda parameters: nullcontext()
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter under its plain name, deltas added; the model itself stays as it is, bit by bit.

    peft's own merging adds to the weights in place and subtracts again, which leaves rounding behind.

    Args:
        model: peft's model.
        gather: every process has to iterate where it gathers.
    """
    from peft.tuners.lora import LoraLayer

    layers: dict[int, Any] = {}
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            # An adapter on a bare parameter, e.g. of fused experts, knows its name.
            adapted = getattr(layer.get_base_layer(), getattr(layer, "parameter_name", "weight"))
            layers[id(adapted)] = layer
    for name, parameter in model.named_parameters():
        if model.prefix in name:  # an adapter's own
            continue
        adapted_by: Any = layers.get(id(parameter))
        own = [] if adapted_by is None else [p for n, p in adapted_by.named_parameters() if model.prefix in n]
        with gather([parameter, *own]), torch.no_grad():
            value = parameter.data
            for adapter in adapted_by.active_adapters if adapted_by is not None else ():
                value = (value + adapted_by.get_delta_weight(adapter)).to(parameter.dtype)
            yield name.removeprefix("base_model.model.").replace(".base_layer", ""), value
