"""The memory formula: what it must obey, and what the allocator was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.training.memory import CASES, LIMIT, compare
from components.core.plan.gpus import parse_gpu, peak_flops
from components.core.plan.memory import Training, adapter_parameters, kv_bytes_per_token, training_memory
from components.core.plan.sizes import KNOWN, sizes_of
from components.core.stage.errors import ConfigError

SIZES = {name: sizes_of(config) for name, config in KNOWN.items()}
MODELS = st.sampled_from(sorted(SIZES)).map(SIZES.__getitem__)
HOWS = st.builds(
    Training,
    tokens=st.integers(1, 50_000),
    patches=st.integers(0, 20_000),
    weight_bytes=st.sampled_from([2, 4]),
    activation_bytes=st.sampled_from([2, 4]),
    gpus=st.integers(1, 16),
    sharding=st.sampled_from(["none", "zero2", "zero3"]),
    lora_rank=st.sampled_from([0, 8, 64]),
    recompute=st.booleans(),
    vision_trained=st.booleans(),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_formula_is_near_what_the_allocator_was_asked_for(case):
    assert abs(compare(case)["difference"]) < LIMIT


def test_an_8b_model_by_hand():
    """Full training in float32: 4 bytes a weight, 4 a gradient, 8 of states; 8.767 B parameters."""
    memory = training_memory(SIZES["Qwen3-VL-8B-Instruct"], Training(tokens=1), overhead=False)
    assert memory.states == pytest.approx(16 * 8_767_123_696)
    # ZeRO-3 over 8 GPUs in bfloat16: (2 + 2 + 12) / 8 bytes a parameter.
    how = Training(tokens=1, weight_bytes=2, activation_bytes=2, gpus=8, sharding="zero3")
    shared = training_memory(SIZES["Qwen3-VL-8B-Instruct"], how, overhead=False)
    assert shared.states == pytest.approx(16 / 8 * 8_767_123_696)


def test_adapters_and_cache_of_an_8b_model_by_hand():
    """Rank 64: 36 layers x 64 x (2(4096+4096) + 2(4096+1024) + 3(4096+12288)); 2 x 36 x 1024 x 2 bytes."""
    sizes = SIZES["Qwen3-VL-8B-Instruct"]
    assert adapter_parameters(sizes, 64) == 36 * 64 * (2 * 8192 + 2 * 5120 + 3 * 16384)
    assert kv_bytes_per_token(sizes) == 147_456


def test_adapters_of_a_mixture_by_hand():
    """Rank 32, 48 layers, attention; each of 128 experts: gate and up 2048 + 1536, down 768 + 2048."""
    sizes = SIZES["Qwen3-VL-30B-A3B-Instruct"]
    attention = 2 * (2048 + 4096) + 2 * (2048 + 512)
    assert adapter_parameters(sizes, 32) == 48 * 32 * (attention + 128 * (3584 + 2816))
    assert adapter_parameters(sizes, 32, ("q_proj", "gate_proj")) == 48 * 32 * (6144 + 128 * 3584)


@given(MODELS, HOWS)
def test_no_part_is_negative_and_more_tokens_never_need_less(sizes, how):
    memory = training_memory(sizes, how)
    assert all(part >= 0 for part in vars(memory).values())
    assert training_memory(sizes, how.changed(tokens=how.tokens + 1)).total >= memory.total


@given(MODELS, HOWS)
def test_recomputing_adapters_and_sharding_never_need_more(sizes, how):
    asked = training_memory(sizes, how, overhead=False)
    deep = how.changed(recompute=False)
    if how.tokens > 100:
        recomputed = training_memory(sizes, how.changed(recompute=True), overhead=False)
        assert recomputed.total <= training_memory(sizes, deep, overhead=False).total * 1.001
    adapted = training_memory(sizes, how.changed(lora_rank=8), overhead=False)
    whole = training_memory(sizes, how.changed(lora_rank=0), overhead=False)
    assert adapted.gradients + adapted.optimizer <= whole.gradients + whole.optimizer
    if how.sharding != "none":
        more = training_memory(sizes, how.changed(gpus=how.gpus + 1), overhead=False)
        assert more.states <= asked.states


@pytest.mark.parametrize(
    ("text", "memory", "count", "known"),
    [("H100-80GB", 80e9, 0, True), ("8xH100-80GB", 80e9, 8, True), ("24GB", 24e9, 0, False),
     ("2x24GB", 24e9, 2, False), ("L4", 24e9, 0, True), ("RTX 4090", 24e9, 0, True),
     ("A100-40GB", 40e9, 0, True)],
)  # fmt: skip
def test_gpus_are_read(text, memory, count, known):
    gpu = parse_gpu(text)
    assert (gpu.memory, gpu.count, bool(gpu.flops)) == (memory, count, known)


@pytest.mark.parametrize("text", ["", "x", "0xH100", "TPU", "H100-", "80", "-80GB x"])
def test_what_is_no_gpu_is_refused(text):
    with pytest.raises(ConfigError, match=r"write NAME-MEMORY"):
        parse_gpu(text)


def test_peaks_are_those_of_the_device_s_full_name():
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12 and peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("something") == 0.0
