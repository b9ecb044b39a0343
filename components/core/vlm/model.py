"""Loading models and setting compute threads."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, PreTrainedModel

from components.core.cores import threads_wanted
from components.core.stage.errors import DataError
from components.core.vlm.families import family_for, family_of, read_config
from components.core.vlm.patches import project_patches

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def load_model(
    path: str | Path, dtype: Dtype = "auto", attn: str = "sdpa", device: str | torch.device | None = None
) -> PreTrainedModel:
    """Load an image-text-to-text model from a checkpoint directory, in evaluation mode.

    Args:
        path: directory with ``config.json`` and safetensors weights.
        dtype: weight type; ``auto`` takes the checkpoint's.
        attn: attention implementation (``sdpa``, ``flash_attention_2``, ``eager``).
        device: where to put it; default the first GPU, otherwise the CPU.

    Raises:
        ConfigError: no family has its ``model_type``; names the supported ones.
        DataError: no checkpoint at ``path``, or weights of the model are missing there.
    """
    if not (Path(path) / "config.json").is_file():
        raise DataError(f"{path} has no config.json; give the directory of a saved model")
    # Before anything is loaded: the types that no family has are named at once.
    family = family_for(read_config(path).get("model_type"))
    kind = dtype if dtype == "auto" else getattr(torch, dtype)
    model, found = AutoModelForImageTextToText.from_pretrained(
        path, dtype=kind, attn_implementation=attn, output_loading_info=True
    )
    if missing := sorted(found["missing_keys"]):  # transformers has filled them with random weights
        raise DataError(f"{path}: lacks {len(missing)} of the model's weights, e.g. {missing[0]}")
    text = model.config.get_text_config()
    if family.experts and not hasattr(text, "output_router_logits"):
        text.output_router_logits = False  # by this name TRL knows a mixture of experts
    target = device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu")
    return project_patches(model).to(target).eval()


@contextmanager
def told_pictures(backbone: nn.Module, pictures: Sequence[int] | None) -> Iterator[None]:
    """Tell a model that asks for it how many pictures each row shows: TRL does not pass that on.

    Without it LLaVA-OneVision takes every picture for the only one of its row, which has more tiles.

    Args:
        backbone: the model without its head.
        pictures: of each row; None without any.
    """
    name = "batch_num_images"
    if pictures is None or name not in inspect.signature(backbone.forward).parameters:
        yield
        return

    def tell(module: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**given, name: torch.tensor(list(pictures))}

    hook = backbone.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def count_parameters(model: torch.nn.Module) -> dict[str, int]:
    """Parameter counts: ``total``, ``trainable``, and by part (``vision``, ``language``)."""
    counts = {"total": 0, "trainable": 0, "vision": 0, "language": 0}
    family = family_of(model)
    for name, parameter in model.named_parameters():
        size = parameter.numel()
        counts["total"] += size
        counts["trainable"] += size if parameter.requires_grad else 0
        counts["language" if family.part_of(name) == "language" else "vision"] += size
    return counts


def set_threads(threads: int | None = None) -> int:
    """Let torch use ``threads`` CPU threads: by default ``OMP_NUM_THREADS``, or every usable core."""
    count = threads or threads_wanted()
    torch.set_num_threads(count)
    return count
