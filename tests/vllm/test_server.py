"""A real vLLM server answers every kind of request that a stage sends, and says what is wrong with one."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from components.core.mllm import ChatRequest, MLLMClient
from components.core.resume.journal import Journal
from components.core.stage.errors import EndpointError
from components.core.stage.settings import Endpoint, FreeEndpoint, TextEndpoint
from components.evaluation.scoring.judge import Read, Verdict
from components.ids_scoring.mllm import ImageScore
from components.label_tree.expand import TopicChildren
from components.preflight.questions import PICTURE, SeenThings, ask
from components.qa_synthesis.schemas import QAEvolved, QAItems, QAJudged, QAPaths
from components.topic_matching.fine import TopicChoice
from components.voting_filter.ask import VoteAnswers
from tests.vllm.conftest import whole

LOG = logging.getLogger("vllm-tests")
SCHEMAS = (
    ImageScore, TopicChildren, TopicChoice, QAItems, QAEvolved, QAJudged, QAPaths, VoteAnswers, Read, Verdict,
    SeenThings,
)  # fmt: skip


@pytest.fixture
def client(server, key, tmp_path: Path):
    """A client of the server; `settings` replace an endpoint's own."""

    def make(kind: type[Endpoint] = Endpoint, **settings) -> MLLMClient:
        return MLLMClient(kind(**server.endpoint(**settings)), Journal(tmp_path / "replies"), LOG)

    return make


def test_every_schema_s_answers_begin_as_the_schema_wants_and_have_no_blank_lines(client):
    """The model knows nothing, so an answer may end at its limit. What there is of it keeps to the schema."""
    requests = [
        ChatRequest(schema.__name__, "What is in the picture?", schema, (PICTURE,), seed=1, max_tokens=96)
        for schema in SCHEMAS
    ]
    answers = client(max_retries=0).map(requests, bar=False)
    for schema, answer in zip(SCHEMAS, answers, strict=True):
        assert answer.error is None or answer.error.startswith(("malformed", "truncated")), answer.error
        if answer.error is None:
            assert isinstance(answer.value, schema)


def test_small_schemas_are_answered(client):
    form = (ImageScore, SeenThings)
    requests = [ChatRequest(s.__name__, "?", s, (PICTURE,), seed=2, max_tokens=2048) for s in form]
    answers = client().map(requests, bar=False)
    assert isinstance(answers[0].value, ImageScore), answers[0].error


def test_free_answers_count_their_tokens_and_greedy_ones_repeat(client):
    def once(seed: int) -> tuple[str, int]:
        request = ChatRequest(
            f"free{seed}", "What is it?", None, (PICTURE,), temperature=0.0, seed=seed, max_tokens=12
        )
        (answer,) = client(FreeEndpoint).map([request], bar=False)
        assert answer.error is None
        return answer.value, answer.completion_tokens

    assert once(1) == once(2)
    assert 0 < once(1)[1] <= 12


def test_a_key_that_is_missing_or_wrong_ends_the_stage(client, monkeypatch):
    for wrong in ("", "another"):
        monkeypatch.setenv("VLM_TEST_KEY", wrong)
        with pytest.raises(EndpointError, match="401"):
            client().map([ChatRequest("k", "?", None, max_tokens=4)], bar=False)


def test_an_unknown_model_ends_the_stage(client):
    with pytest.raises(EndpointError, match="404"):
        client(model="nobody").map([ChatRequest("m", "?", None, max_tokens=4)], bar=False)


@pytest.mark.parametrize("kind", [FreeEndpoint, TextEndpoint, Endpoint])
def test_preflight_s_question_is_taken(server, key, kind):
    """It is not refused. An answer of a model that knows nothing may be cut; then preflight says so."""
    found = ask(kind(**server.endpoint()), 300, LOG)
    assert found.works or "JSON schema" in found.problem, found.problem


def test_evaluation_by_endpoint_says_what_transformers_says(server, key, run_stage, write_benchmark):
    from components.core.data.dataset import Dataset

    benchmark = [write_benchmark("domain", 24)]
    settings = {"samples_per_item": 0, "pass_k": [], "max_new_tokens": 8, "dtype": "float32"}
    texts = {}
    for name, engine in (("transformers", {}), ("endpoint", {"endpoint": server.endpoint()})):
        code, out = run_stage(benchmark, {**settings, "engine": name, **engine}, name)
        assert code == 0
        rows = Dataset.open(out / "predictions", "predictions").to_table().to_pylist()
        texts[name] = {row["item_id"]: whole(row["response"]) for row in rows}
    assert len(set(texts["transformers"].values())) > 1
    assert texts["endpoint"] == texts["transformers"]
    assert json.loads((out / "scores").read_text())["settings"]["engine"]["name"] == "endpoint"
