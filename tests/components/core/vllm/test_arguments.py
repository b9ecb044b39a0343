"""What vLLM is given: own weight type, own context, names that exist, nothing that a stage decides."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest

from components.core.stage.errors import ConfigError
from components.core.stage.settings import parse_settings
from components.core.vllm.arguments import check_context, check_names, context_tokens, own_dtype, starting
from components.core.vllm.settings import OWN, Colocated


def checkpoint(tmp_path, **text):
    """A checkpoint's config.json as Qwen3-VL's; only that is read."""
    own = {"dtype": text.pop("dtype")} if "dtype" in text else {}
    quantised = {"quantization_config": text.pop("quantization_config")} if len(text) > 1 else {}
    config = {"model_type": "qwen3_vl", "text_config": {"model_type": "qwen3_vl_text", **text}}
    (tmp_path / "config.json").write_text(json.dumps({**config, **own, **quantised}))
    return tmp_path


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_weight_type_is_the_checkpoint_s(tmp_path, dtype):
    assert own_dtype(checkpoint(tmp_path, dtype=dtype)) == dtype


def test_a_checkpoint_that_names_none_is_float32(tmp_path):
    assert own_dtype(checkpoint(tmp_path)) == "float32"


def test_a_quantised_checkpoint_leaves_it_to_its_kernels(tmp_path):
    quantised = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
    given = checkpoint(tmp_path, max_position_embeddings=64, quantization_config=quantised)
    assert own_dtype(given) == "auto"


def test_a_context_beyond_the_model_s_is_refused_with_both_lengths(tmp_path):
    model = checkpoint(tmp_path, max_position_embeddings=4096)
    assert context_tokens(model) == 4096
    check_context(model, None, "s")
    check_context(model, 4096, "s")
    with pytest.raises(ConfigError, match="evaluation.vllm.max_model_len_tokens: 32768 tokens.* 4096 "):
        check_context(model, 32768, "evaluation.vllm.max_model_len_tokens")


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_the_stage_decides_cannot_be_passed(name):
    with pytest.raises(ConfigError, match=f"'{name}' is decided by"):
        parse_settings(Colocated, {"engine_args": {name: 1}})


def test_flags_are_not_names():
    with pytest.raises(ConfigError, match="write enforce_eager"):
        parse_settings(Colocated, {"engine_args": {"--enforce-eager": True}})


def test_values_of_every_kind_of_json_pass():
    given = {"enforce_eager": True, "block_size": 16, "swap_space": 0.5, "kv_cache_dtype": "auto",
             "compilation_config": {"level": 3}, "cudagraph_capture_sizes": [1, 2]}  # fmt: skip
    assert parse_settings(Colocated, {"engine_args": given}).engine_args == given


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_a_stage_says_so():
    with pytest.raises(ConfigError, match="vllm is not installed here"):
        check_names({}, "evaluation.vllm.engine_args")


def test_vllm_s_own_words_come_on_one_line():
    expected = "s: vLLM does not start with these arguments: 1 validation error max_model_len too large"
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"), starting("s"):
        raise ValueError("1 validation error\n  max_model_len\n    too large")


def test_an_engine_s_own_process_that_ended_is_no_fault_of_the_moment():
    """The words are those of vLLM 0.31; tests/vllm holds them to it."""
    with pytest.raises(ConfigError, match="its engine's own process says above why"), starting("s"):
        raise RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")


def test_other_errors_at_the_start_pass():
    with pytest.raises(RuntimeError, match="CUDA out of memory"), starting("s"):
        raise RuntimeError("CUDA out of memory")
