"""Weight-only quantisation of a checkpoint with compressed-tensors, whose format transformers and vLLM read.

Each weight of the language model's linear layers is rounded to the nearest of 2^bits levels of its block. A
block is a row (int8) or a group of columns (int4); it has one scale and no zero point. The vision tower, the
embeddings, the output layer and a mixture's routers keep their weights. They are a small part of a large
model's bytes and the first to show in its answers. Experts are written one by one (`experts.py`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from components.core.stage.errors import ConfigError, DataError
from components.core.vlm import load_model, load_processor
from components.core.vlm.families import family_of, refuse
from components.core.vlm.family import Family
from components.export.experts import read_apart, unfuse

Scheme = Literal["int8", "int4"]
BITS: dict[Scheme, int] = {"int8": 8, "int4": 4}


def kept(family: Family) -> list[str]:
    """Layers that stay as they are; `re:` marks a pattern."""
    return ["lm_head", *(rf"re:(.*\.)?{re.escape(name)}\..*" for name in (*family.vision, *family.projector))]


def quantise(source: Path, target: Path, scheme: Scheme, group_size: int = 128) -> int:
    """Write the quantised checkpoint, with its processor, to `target`.

    Args:
        source: directory of a checkpoint.
        target: where to write; the directory is made.
        scheme: `int8`, a scale for each row; `int4`, a scale for each `group_size` columns of a row.
        group_size: columns that share a scale; has to divide the width of every layer.

    Returns:
        The number of layers that were quantised.

    Raises:
        ConfigError: compressed-tensors is not installed, the group size does not divide a layer's width, or
            the model's family or its experts cannot be quantised.
        DataError: `source` is no checkpoint, or is quantised already.
    """
    try:
        from compressed_tensors.compressors import ModelCompressor
        from compressed_tensors.quantization import (
            QuantizationArgs,
            QuantizationConfig,
            QuantizationScheme,
            QuantizationStatus,
            apply_quantization_config,
        )
        from compressed_tensors.quantization.utils import calculate_qparams
    except ImportError as error:
        raise ConfigError("export needs compressed-tensors; install it with the extra `export`") from error

    refuse(source, "export", "export")
    model: Any = load_model(source, device="cpu")
    if getattr(model.config, "quantization_config", None) is not None:
        raise DataError(f"{source}: is quantised already; export the checkpoint that it was made from")
    left = [*kept(family_of(model)), *(routers := unfuse(model))]
    text_type = _text_type(model) if routers else ""
    group = None if scheme == "int8" else group_size
    block = {"strategy": "group" if group else "channel", "group_size": group}
    weights = QuantizationArgs(num_bits=BITS[scheme], type="int", symmetric=True, **block)
    groups = {"linear": QuantizationScheme(targets=["Linear"], weights=weights)}
    config = QuantizationConfig(config_groups=groups, ignore=left, format="pack-quantized")
    apply_quantization_config(model, config)
    layers = {
        name: m for name, m in model.named_modules() if getattr(m, "quantization_scheme", None) is not None
    }
    for name, layer in layers.items():
        rows, columns = layer.weight.shape
        if columns % (group or columns):
            raise ConfigError(
                f"group_size {group} does not divide the {columns} columns of {name}; choose one that does"
            )
        blocks = layer.weight.detach().reshape(rows, -1, group or columns)
        scales, _ = calculate_qparams(blocks.amin(-1), blocks.amax(-1), weights)
        layer.weight_scale.data.copy_(scales)
        layer.quantization_status = QuantizationStatus.FROZEN
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(target)
    compressor.update_config(str(target))
    _amend(target / "config.json", left, text_type)
    load_processor(source).save_pretrained(target)
    return len(layers)


def _text_type(model: Any) -> str:
    """The type of the language model under which transformers reads its experts one by one."""
    kind = family_of(model).apart or str(model.config.get_text_config().model_type)
    if not read_apart(kind):
        raise ConfigError(f"export: transformers does not read the experts of {kind} one by one")
    return kind


def _amend(config: Path, patterns: list[str], text_type: str) -> None:
    """Name the kept layers by patterns too: a checkpoint may call modules otherwise than the model does.

    With experts, give the language model the type `text_type`.
    """
    settings = json.loads(config.read_text(encoding="utf-8"))
    ignored = settings["quantization_config"]["ignore"]
    settings["quantization_config"]["ignore"] = list(dict.fromkeys([*patterns, *ignored]))
    if text_type:
        settings["text_config"]["model_type"] = text_type
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def size_bytes(checkpoint: Path) -> int:
    """Bytes of a checkpoint's weights."""
    return sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
