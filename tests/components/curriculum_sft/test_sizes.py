"""Adapters with Muon, weights in bfloat16, and results of sharded trainings."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from components.core.stage.runner import stage_main
from components.curriculum_sft.component import IO
from components.curriculum_sft.config import Config
from components.curriculum_sft.stage import run
from tests.processes.warm import cold

FAST = {"batch_samples": 4, "learning_rate": 3e-3, "log_steps": 1, "max_steps": 4}
LORA = {"lora": {"rank": 4, "alpha": 8}}


@pytest.fixture(autouse=True)
def _work_root(tmp_path, monkeypatch):
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))


def _run(argv: list[str]) -> int:
    return stage_main("curriculum_sft", Config, IO, run, argv)


def _changed(sft_world, out) -> set[str]:
    before, after = (
        load_file(path / "model.safetensors") for path in (sft_world["base"], out / "checkpoint")
    )
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name].to(before[name].dtype))}


def test_muon_trains_adapters(sft_world, argv, tmp_path):
    config = FAST | LORA | {"optimizer": "muon", "max_steps": 16, "learning_rate": 3e-2}
    assert _run(argv(sft_world, tmp_path, config)) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["loss_final"] < 0.95 * metrics["loss_first"]
    moved = _changed(sft_world, tmp_path)
    assert moved and all("proj" in name and "visual" not in name for name in moved)


def test_frozen_parts_get_no_adapters(sft_world, argv, tmp_path):
    """`qkv` and `proj` are the vision tower's, `o_proj` is the language model's."""
    config = FAST | {"lora": {"rank": 4, "target_modules": ["qkv", "proj", "o_proj"]}}
    assert _run(argv(sft_world, tmp_path / "a", config)) == 0
    assert any("visual" in name for name in _changed(sft_world, tmp_path / "a"))
    assert _run(argv(sft_world, tmp_path / "b", config | {"freeze": {"vision": True}})) == 0
    moved = _changed(sft_world, tmp_path / "b")
    assert moved and not any("visual" in name for name in moved)


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_adapters_on_a_base_in_bfloat16(sft_world, argv, tmp_path, objective):
    config = FAST | LORA | {"weight_type": "bfloat16", "objective": objective, "max_steps": 2}
    assert _run(argv(sft_world, tmp_path, config)) == 0
    saved = load_file(tmp_path / "checkpoint" / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.bfloat16}
    AutoModelForImageTextToText.from_pretrained(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"weight_type": "bfloat16"}, "weight_type bfloat16 loses small updates"),
        ({"weight_type": "bfloat16", "lora": {}, "precision": "float32"}, "passes in bfloat16"),
        ({"lora": {"target_modules": ["query"]}}, "no trained module of the model is called query"),
        ({"lora": {"four_bit": True}}, "lora.four_bit: needs an NVIDIA GPU"),
        ({"activation_offloading": True}, "activation_offloading: needs a GPU"),
    ],
    ids=["bfloat16 alone", "float32 passes", "no such module", "4 bits", "offloading"],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU lacks")
def test_what_cannot_be_is_said(sft_world, argv, tmp_path, capsys, config, said):
    assert _run(argv(sft_world, tmp_path, FAST | config)) == 78
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "config",
    [{"sharding": "zero3"}, {"sharding": "zero3", **LORA}, {"sharding": "zero2", "weight_type": "bfloat16"}],
    ids=["ZeRO-3", "ZeRO-3 with adapters", "ZeRO-2 in bfloat16"],
)
def test_a_finished_sharded_run_is_written_without_training(sft_world, argv, tmp_path, config):
    """Killed between the last step and the output: the sealed last checkpoint becomes the output."""
    pytest.importorskip("deepspeed")
    command = argv(sft_world, tmp_path, FAST | config | {"processes": 2})
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    blocked = tmp_path / "checkpoint"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where the stage wants a directory")
    process = cold("components.curriculum_sft", command, environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0, errors[-2000:]
    blocked.unlink()
    process = cold("components.curriculum_sft", command, environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    assert "continuing (step=4 of=4)" in errors
    moved = _changed(sft_world, tmp_path)
    assert moved and (not config.get("lora") or all("proj" in name for name in moved))
    _, info = AutoModelForImageTextToText.from_pretrained(blocked, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
