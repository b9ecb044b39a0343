"""Evaluation by vLLM in its own process: the texts of transformers, and what was used is recorded."""

from __future__ import annotations

import json

from benchmarks.vllm_server import in_vllm
from components.core.data.dataset import Dataset
from tests.vllm.conftest import whole

SETTINGS = {"samples_per_item": 0, "pass_k": [], "max_new_tokens": 8}


def texts(out) -> dict[str, str]:
    rows = Dataset.open(out / "predictions", "predictions").to_table().to_pylist()
    return {row["item_id"]: whole(row["response"]) for row in rows}


def test_texts_equal_transformers_and_the_record_says_what_was_used(
    run_stage, stage_argv, write_benchmark, tmp_path
):
    benchmark = [write_benchmark("domain", 24)]
    code, plain = run_stage(benchmark, SETTINGS, "transformers")
    assert code == 0
    own = {"engine": "vllm", "vllm": {"engine_args": {"max_num_seqs": 8}}}
    argv, out = stage_argv(benchmark, {**SETTINGS, **own})
    done = in_vllm(["-m", "components.evaluation", *argv], VLM_WORK_ROOT=str(tmp_path / "own"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(set(texts(plain).values())) > 1
    assert texts(out) == texts(plain)
    engine = json.loads((out / "scores").read_text())["settings"]["engine"]
    assert (engine["name"], engine["device"], engine["dtype"]) == ("vllm", "cpu", "float32")
    assert engine["max_model_tokens"] == 4096  # the model's own


def test_wrong_arguments_end_with_one_line(stage_argv, write_benchmark, tmp_path):
    for settings, said in (
        ({"engine_args": {"enforce_eagr": True}}, "no argument 'enforce_eagr'; did you mean 'enforce_eager'"),
        ({"max_model_len_tokens": 32768}, "32768 tokens, but the model has 4096 positions"),
        ({"engine_args": {"block_size": 16}}, "its engine's own process says above why"),
    ):
        argv, _ = stage_argv([write_benchmark("domain", 4)], {**SETTINGS, "engine": "vllm", "vllm": settings})
        done = in_vllm(["-m", "components.evaluation", *argv], VLM_WORK_ROOT=str(tmp_path / "own"))
        assert done.returncode == 78, done.stderr[-2000:]
        assert said in done.stderr
