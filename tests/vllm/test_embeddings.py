"""A real vLLM server of embeddings: vectors of one length, the same for the same text."""

from __future__ import annotations

import logging

import numpy as np

from benchmarks.vllm_server import Server
from components.core.mllm import MLLMClient
from components.core.resume.journal import Journal
from components.core.stage.settings import Embedder
from components.preflight.questions import ask
from tests.vllm.conftest import KEY, endpoint_of

LOG = logging.getLogger("vllm-tests")


def test_texts_become_vectors_and_preflight_s_question_is_answered(checkpoint, key, tmp_path):
    server = Server(checkpoint, tmp_path / "log", KEY, extra=("--runner", "pooling", "--convert", "embed"))
    try:
        server.start()
        endpoint = Embedder(**endpoint_of(server, embed_batch=2))
        texts = ["a red square", "a table of numbers", "a blue circle"]
        vectors = MLLMClient(endpoint, Journal(tmp_path / "replies"), LOG).embed([*texts, texts[0]])
        assert vectors.shape[0] == 4
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.array_equal(vectors[0], vectors[3])
        assert not np.allclose(vectors[0], vectors[1], atol=1e-3)
        assert ask(endpoint, 300, LOG).works
    finally:
        server.kill()
