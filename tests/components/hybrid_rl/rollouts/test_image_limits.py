from __future__ import annotations

import json
import shutil

import pytest

from components.core.stage.errors import ConfigError
from components.core.vlm import load_processor
from components.hybrid_rl.rollouts.image_limits import check_same_limits, image_limits


def test_the_same_processor_passes(tiny_checkpoint):
    processor = load_processor(tiny_checkpoint)
    check_same_limits(processor, tiny_checkpoint)
    assert image_limits(processor)["max_pixels"] >= image_limits(processor)["min_pixels"] > 0


def test_other_limits_are_named_with_both_values(tiny_checkpoint, tmp_path):
    processor = load_processor(tiny_checkpoint)
    limits = image_limits(processor)
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, other)
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (other / name).is_file():
            settings = json.loads((other / name).read_text())
            image = settings.get("image_processor", settings)
            image["size"] = {**image["size"], "longest_edge": 2 * limits["max_pixels"]}
            (other / name).write_text(json.dumps(settings))
    with pytest.raises(
        ConfigError, match=f"max_pixels is {limits['max_pixels']} .* {2 * limits['max_pixels']}"
    ):
        check_same_limits(processor, other)
