"""The benchmark of a larger teacher: the grown model is the smaller one, and the whole path runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.rl.grown import grow, places
from benchmarks.rl.teacher import main, mini_setting, reached
from components.core.vlm import generate, load_model, load_processor
from components.core.vlm.model import count_parameters
from demo.base.settings import SHIPPED
from tests.processes import warm


def test_a_grown_model_says_what_it_grew_from(tiny_checkpoint, coloured_pictures, tmp_path):
    large = grow(tiny_checkpoint, tmp_path / "large")
    processor = load_processor(large)
    inputs = processor(
        images=[[Image.new("RGB", (48, 48), "red")]],
        text=["<|vision_start|><|image_pad|><|vision_end|>How many?"],
        return_tensors="pt",
    )
    with torch.no_grad():
        small, grown = (load_model(path, "float32")(**inputs).logits for path in (tiny_checkpoint, large))
    torch.testing.assert_close(grown, small, atol=1e-5, rtol=1e-5)
    assert generate(load_model(large), processor, [(coloured_pictures[0], "How many?")], max_new_tokens=2)


def test_the_demos_teacher_is_three_times_as_large(tmp_path):
    sizes = [
        count_parameters(load_model(path))["total"] for path in (SHIPPED, grow(SHIPPED, tmp_path / "large"))
    ]
    assert 2.7 < sizes[1] / sizes[0] < 3.3


@given(st.integers(1, 40), st.integers(1, 4))
def test_layers_keep_their_order_and_the_first_its_place(layers, growth):
    found = places(layers, layers * growth)
    assert found[0] == 0 and found == sorted(set(found)) and found[-1] < layers * growth


def test_where_a_curve_reaches_a_goal():
    """Half way between 10 and 20 at half of the rise; never is None."""
    curve = [(0.0, 0.1), (10.0, 0.2), (20.0, 0.4)]
    assert reached(curve, 0.3) == pytest.approx(15.0) and reached(curve, 0.05) == 0.0
    assert reached(curve, 0.5) is None and reached(curve, 0.4) == pytest.approx(20.0)


def test_the_whole_path_on_a_small_world(tmp_path: Path, monkeypatch):
    """The teacher is trained by a new process, as anyone's; what follows runs warm."""

    def started(command, check, **how):
        start = subprocess.run if "components.curriculum_sft" in command else warm.run
        return start(command, check=check, **how)

    monkeypatch.setattr("benchmarks.stages.subprocess", SimpleNamespace(run=started))
    for module in ("harness", "stages", "rl.expert", "rl.teacher"):
        monkeypatch.setattr(f"benchmarks.{module}.RESULTS", tmp_path / "bench")
    figures = main([0], ["rl", "distill"], mini_setting(tmp_path / "world"))
    assert set(figures["reached"]) == {"distill"}
    for arm in ("rl", "distill"):
        assert [point["step"] for point in figures[arm]] == [0, 2]
        assert figures[arm][-1]["tokens"] > 0 and figures[arm][-1]["seconds"] > 0
    written = json.loads((tmp_path / "bench" / "rl_teacher.json").read_text())
    assert written["figures"]["arms"]["distill"]["objective"] == "distill"
