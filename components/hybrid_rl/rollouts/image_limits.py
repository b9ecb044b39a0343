"""Image limits that rollout and update share: a picture must be equally many tokens to both.

vLLM reads the limits from the checkpoint's own files; the trainer has them from its processor. Where the two
differ, the update fails with "image features and image tokens do not match".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.stage.errors import ConfigError
from components.core.vlm import load_processor

_DECIDING = (
    "size", "patch_size", "merge_size", "temporal_patch_size", "max_image_size", "image_grid_pinpoints",
    "min_patches", "max_patches", "crop_to_patches", "do_image_splitting", "do_pan_and_scan", "pan_and_scan",
)  # fmt: skip


def image_limits(processor: Any) -> dict[str, Any]:
    """Every setting of the image processor that decides how large a picture becomes."""
    image = processor.image_processor
    limits = {name: value for name, value in image.to_dict().items() if name.startswith(_DECIDING)}
    size = limits.pop("size", None) or {}
    if size.keys() >= {"shortest_edge", "longest_edge"}:
        limits |= {"min_pixels": int(size["shortest_edge"]), "max_pixels": int(size["longest_edge"])}
    elif size:
        limits["size"] = dict(size)
    return limits


def check_same_limits(trainer: Any, rollout: Path) -> None:
    """Compare the processor of the update with the one that the rollout engine loads from its checkpoint.

    Raises:
        ConfigError: with every limit that differs, and both values.
    """
    ours, theirs = image_limits(trainer), image_limits(load_processor(rollout))
    differing = [
        f"{name} is {value} in training and {theirs.get(name)} in rollouts"
        for name, value in ours.items()
        if value != theirs.get(name)
    ]
    if differing:
        raise ConfigError(
            f"hybrid_rl: {'; '.join(differing)}; "
            f"give {rollout} the training processor's preprocessor_config.json"
        )
