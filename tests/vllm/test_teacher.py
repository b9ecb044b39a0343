"""A real vLLM server as the teacher of hybrid_rl: its log-probabilities are those of the same checkpoint."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import torch

from components.core.mllm.prompt_scores import PromptScorer, Said
from components.core.resume.journal import Journal
from components.core.stage.settings import FreeEndpoint
from components.core.vlm import load_model, load_processor, open_image
from components.core.vlm.messages import build_conversation
from tests.vllm.conftest import endpoint_of

DISTIL: dict[str, Any] = {"objective": "distill", "max_steps": 2, "max_completion_tokens": 8}


def test_it_says_what_transformers_says(server, key, checkpoint, coloured_pictures, tmp_path):
    """A picture, a question and an answer; each token of it within 1e-3 nats, the end token included."""
    processor = load_processor(checkpoint)
    tokenizer = processor.tokenizer
    prompt = processor.apply_chat_template(
        build_conversation([("How many shapes?", None)]), add_generation_prompt=True
    )
    picture = open_image(coloured_pictures[0])
    inputs = processor(images=[[picture]], text=[f"{prompt}two red<|im_end|>"], return_tensors="pt")
    start = processor(images=[[picture]], text=[prompt], return_tensors="pt")["input_ids"].shape[1]
    ids = inputs["input_ids"][0].tolist()
    with torch.no_grad():
        logps = load_model(checkpoint, "float32", device="cpu")(**inputs).logits[0].log_softmax(-1)
    expected = [float(logps[place - 1, ids[place]]) for place in range(start, len(ids))]

    endpoint = FreeEndpoint(**endpoint_of(server))
    scorer = PromptScorer(endpoint, Journal(tmp_path / "teacher.jsonl"), logging.getLogger("tests"))
    assert scorer.check_vocabulary(tokenizer) == ""
    said = Said(coloured_pictures[0], "How many shapes?", "two red", ids[:start], ids[start:])
    (found,) = scorer.score([said])
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_teacher_equal_to_the_student_says_nothing(server, key, world):
    """The divergence of a model from itself is rounding, at the first step."""
    teacher = {"server": endpoint_of(server)}
    assert world.run("out", **DISTIL, teacher=teacher) == 0
    metrics = json.loads((world.root / "out" / "metrics.json").read_text())
    assert abs(metrics["teacher_kl_first"]) < 1e-2 and metrics["teacher_unscored"] < 0.9
    assert metrics["teacher_requests"] > 0
