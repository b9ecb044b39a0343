"""Image limits that rollout and update share: a picture must be equally many tokens to both.

vLLM reads the limits from the checkpoint's own files; the trainer has them from its processor. Where the two
differ, the update fails with "image features and image tokens do not match".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.stage.errors import ConfigError
from components.core.vlm import load_processor


def image_limits(processor: Any) -> dict[str, int]:
    """Smallest and largest picture in pixels, and the sizes of the patches behind a vision token."""
    image = processor.image_processor
    return {
        "min_pixels": int(image.size["shortest_edge"]),
        "max_pixels": int(image.size["longest_edge"]),
        **{name: int(getattr(image, name)) for name in ("patch_size", "merge_size", "temporal_patch_size")},
    }


def check_same_limits(trainer: Any, rollout: Path) -> None:
    """Compare the processor of the update with the one that the rollout engine loads from its checkpoint.

    Raises:
        ConfigError: with every limit that differs, and both values.
    """
    ours, theirs = image_limits(trainer), image_limits(load_processor(rollout))
    differing = [
        f"{name} is {value} in training and {theirs[name]} in rollouts"
        for name, value in ours.items()
        if value != theirs[name]
    ]
    if differing:
        raise ConfigError(
            f"hybrid_rl: {'; '.join(differing)}; "
            f"give {rollout} the training processor's preprocessor_config.json"
        )
