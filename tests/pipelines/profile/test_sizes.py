"""The profiles for sizes that people train: what their training stages need, they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.stage.settings import stage_config
from components.hybrid_rl.trl_config import shared_out
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[3]
SIZES = sorted((ROOT / "configs").glob("qwen3-vl-*.yaml"))
FINE_TUNING = ("sft_1_domain", "sft_2_restore", "sft_3_align")


def settings(path: Path) -> dict:
    sections = load_profile(path).sections
    found = {name: stage_config("curriculum_sft").model_validate(sections[name]) for name in FINE_TUNING}
    return found | {"hybrid_rl": stage_config("hybrid_rl").model_validate(sections["hybrid_rl"])}


@pytest.mark.parametrize("path", SIZES, ids=lambda path: path.stem)
def test_trained_weights_are_adapters_or_shares(path):
    gpus = {name: load_profile(path).resources[name].gpu for name in (*FINE_TUNING, "hybrid_rl")}
    for name, stage in settings(path).items():
        assert stage.weight_type == "bfloat16" and stage.gradient_checkpointing, name
        assert stage.lora is not None or stage.sharding != "none", name
        assert (stage.sharding != "none") == (gpus[name] > 1), name


@pytest.mark.parametrize("path", SIZES, ids=lambda path: path.stem)
def test_rollouts_divide_over_the_gpus(path):
    gpus = load_profile(path).resources["hybrid_rl"].gpu
    share, micro = shared_out(settings(path)["hybrid_rl"], gpus)
    assert share * gpus == 8 * settings(path)["hybrid_rl"].prompts_per_step and share % micro == 0


def test_there_is_one_for_every_size():
    names = {path.stem.removeprefix("qwen3-vl-") for path in SIZES}
    assert names == {"2b-24gb", "8b", "8b-8gpu", "8b-128k", "30b-a3b-8gpu"}
    by_phase = settings(ROOT / "configs" / "qwen3-vl-8b-128k.yaml")["sft_2_restore"].by_phase()
    assert by_phase[-1].max_length_tokens == 131072 and by_phase[-1].activation_offloading
    assert settings(ROOT / "configs" / "qwen3-vl-30b-a3b-8gpu.yaml")["hybrid_rl"].loss == "gspo"
