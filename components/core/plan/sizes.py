"""Sizes of a vision-language model from its `config.json`, without torch and without its weights.

Parameters are counted in closed form for the decoders of the Qwen families (attention, gated or expert MLPs,
normalisation) and their vision towers. A test compares every count with the model that transformers builds.
Where safetensors files are at hand, their headers say the exact total for any family.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.core.stage.errors import DataError


@dataclass(frozen=True)
class ModelSizes:
    """Widths and parameter counts of a model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """Width of the MLP; with experts, of one expert."""
    vocabulary: int
    experts: int
    """Experts of a layer, 0 for a dense model."""
    active_experts: int
    qk_norm: bool
    vision_layers: int
    vision_hidden: int
    vision_intermediate: int
    merge: int
    """Patches along a side of one vision token."""
    patch: int
    """Pixels along a side of a patch."""
    language: int
    """Parameters of the language model with embeddings and head; a tied matrix counts once."""
    expert: int
    """Those of them that are experts."""
    embedding: int
    """Those of the embedding, or of the head."""
    vision: int
    """Parameters of the vision tower and its projectors."""
    max_pixels: int = 0
    """Pixels of the largest picture that the tower sees, as its processor says; 0 where it is not known."""

    @property
    def total(self) -> int:
        """All parameters."""
        return self.language + self.vision

    @property
    def active(self) -> int:
        """Parameters that one token of text multiplies: of the experts the chosen ones."""
        chosen = self.expert * self.active_experts // self.experts if self.experts else 0
        return self.language - self.expert + chosen

    @property
    def query(self) -> int:
        """Width of the queries."""
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        """Width of the keys, and of the values."""
        return self.kv_heads * self.head_dim


def sizes_of(config: Mapping[str, Any]) -> ModelSizes:
    """Sizes from the content of `config.json`.

    Raises:
        DataError: it names no widths that are known here.
    """
    text = config.get("text_config") or config
    vision = config.get("vision_config") or {}
    try:
        return _sizes(config, text, vision)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        kind = config.get("model_type", "?")
        raise DataError(f"config.json of model_type '{kind}': no sizes can be told ({error!r})") from error


def _sizes(config: Mapping[str, Any], text: Mapping[str, Any], vision: Mapping[str, Any]) -> ModelSizes:
    hidden, layers, heads = text["hidden_size"], text["num_hidden_layers"], text["num_attention_heads"]
    kv_heads = text.get("num_key_value_heads") or heads
    head_dim = text.get("head_dim") or hidden // heads
    experts = text.get("num_experts") or text.get("num_local_experts") or 0  # as saved by transformers 5
    width = text["moe_intermediate_size"] if experts else text["intermediate_size"]
    # qwen2 has biases on queries, keys and values; qwen3 normalises queries and keys instead.
    kind = str(config.get("model_type", ""))
    qk_norm = kind.startswith("qwen3")
    query, key = heads * head_dim, kv_heads * head_dim
    attention = 2 * hidden * query + 2 * hidden * key
    attention += 2 * head_dim if qk_norm else query + 2 * key
    expert = experts * 3 * hidden * width
    mlp = expert + experts * hidden if experts else 3 * hidden * width
    embedding = text["vocab_size"] * hidden
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    language = layers * (attention + mlp + 2 * hidden) + hidden + embedding * (1 if tied else 2)
    return ModelSizes(
        layers, hidden, heads, kv_heads, head_dim, width, text["vocab_size"], experts,
        text.get("num_experts_per_tok", 0) if experts else 0, qk_norm,
        vision.get("depth") or vision.get("num_hidden_layers") or 0,
        vision.get("hidden_size") or 0, vision.get("intermediate_size") or 0,
        vision.get("spatial_merge_size") or 2, vision.get("patch_size") or 14,
        language, expert * layers, embedding, _vision(vision, qk_norm),
    )  # fmt: skip


def _vision(vision: Mapping[str, Any], qwen3: bool) -> int:
    """Parameters of the tower of Qwen3-VL (with deep-stack mergers) or Qwen2.5-VL."""
    if not vision or not (vision.get("depth") and vision.get("hidden_size")):
        return 0
    hidden, inner, depth = vision["hidden_size"], vision["intermediate_size"], vision["depth"]
    merged, out = hidden * vision.get("spatial_merge_size", 2) ** 2, vision["out_hidden_size"]
    patch = vision["patch_size"] ** 2 * vision.get("temporal_patch_size", 2) * 3
    attention = 4 * hidden * hidden + 4 * hidden
    merger = merged * merged + merged + merged * out + out
    if qwen3:
        block = attention + 2 * hidden * inner + inner + hidden + 4 * hidden
        deep = len(vision.get("deepstack_visual_indexes") or ())
        positions = vision.get("num_position_embeddings", 2304) * hidden
        mergers = merger + 2 * hidden + deep * (merger + 2 * merged)
        return patch * hidden + hidden + positions + depth * block + mergers
    block = attention + 3 * hidden * inner + 2 * inner + hidden + 2 * hidden
    return patch * hidden + depth * block + merger + hidden


KNOWN: dict[str, dict[str, Any]] = {}
"""Sizes of published models by the last part of their name, for plans where no file is at hand."""


def _known(name: str, text: dict[str, Any], vision: dict[str, Any], kind: str, tied: bool) -> None:
    common = {"spatial_merge_size": 2, "patch_size": 16, "temporal_patch_size": 2,
              "num_position_embeddings": 2304, "out_hidden_size": text["hidden_size"]}  # fmt: skip
    text = {"vocab_size": 151936, "head_dim": 128, **text}
    KNOWN[name] = {"model_type": kind, "tie_word_embeddings": tied, "text_config": text,
                   "vision_config": common | vision}  # fmt: skip


_SMALL = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16,
          "deepstack_visual_indexes": [5, 11, 17]}  # fmt: skip
_LARGE = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16,
          "deepstack_visual_indexes": [8, 16, 24]}  # fmt: skip
_known("Qwen3-VL-2B-Instruct", {"hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16,
       "num_key_value_heads": 8, "intermediate_size": 6144}, _SMALL, "qwen3_vl", True)  # fmt: skip
_known("Qwen3-VL-4B-Instruct", {"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
       "num_key_value_heads": 8, "intermediate_size": 9728}, _SMALL, "qwen3_vl", True)  # fmt: skip
_known("Qwen3-VL-8B-Instruct", {"hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
       "num_key_value_heads": 8, "intermediate_size": 12288}, _LARGE, "qwen3_vl", False)  # fmt: skip
_known("Qwen3-VL-32B-Instruct", {"hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 64,
       "num_key_value_heads": 8, "intermediate_size": 25600}, _LARGE, "qwen3_vl", False)  # fmt: skip
_known("Qwen3-VL-30B-A3B-Instruct", {"hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32,
       "num_key_value_heads": 4, "intermediate_size": 6144, "num_experts": 128, "num_experts_per_tok": 8,
       "moe_intermediate_size": 768}, _LARGE, "qwen3_vl_moe", False)  # fmt: skip


def read_sizes(folder: Path) -> ModelSizes:
    """Sizes of a model directory; the total is that of its safetensors headers, where they are there.

    The limit of pictures is the processor's.

    Raises:
        DataError: `config.json` is missing or names no known widths.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}/config.json: cannot be read ({error})") from error
    sizes = replace(sizes_of(config), max_pixels=_max_pixels(folder))
    total = sum(_elements(file) for file in folder.glob("*.safetensors"))
    return replace(sizes, language=sizes.language + total - sizes.total) if total else sizes


def _max_pixels(folder: Path) -> int:
    """Most pixels of a picture by the processor's files, where they limit the area as Qwen's do; else 0."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        try:
            settings = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        settings = settings.get("image_processor", settings)
        size = settings.get("size") or {}
        if "Qwen" in str(settings.get("image_processor_type", "")) or "max_pixels" in settings:
            return int(size.get("longest_edge") or settings.get("max_pixels") or 0)
    return 0


def _elements(file: Path) -> int:
    """Elements of all tensors in a safetensors file, from its header."""
    with open(file, "rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    count = 0
    for name, item in header.items():
        size = 1
        for extent in item["shape"] if name != "__metadata__" else (0,):
            size *= extent
        count += size
    return count
