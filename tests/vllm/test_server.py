"""A real vLLM server answers every kind of request that a stage sends, and says what is wrong with one."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel, Field

from components.core.data.hashing import canonical_json, sha256_hex
from components.core.mllm import ChatRequest, MLLMClient
from components.core.mllm.chat import chat_payload
from components.core.resume.journal import Journal
from components.core.stage.errors import EndpointError
from components.core.stage.settings import Endpoint, FreeEndpoint, TextEndpoint
from components.evaluation.scoring.judge import Judge
from components.ids_scoring.mllm import ImageScore
from components.preflight.questions import PICTURE, ask
from tests.components.core.mllm.test_schema_forms import FORMS
from tests.vllm.conftest import endpoint_of, whole

LOG = logging.getLogger("vllm-tests")
DRAWS = 3


class Tight(BaseModel):
    """Bounds that a model which knows none would break at once."""

    name: str = Field(max_length=3)
    number: int = Field(ge=-5, le=12)
    certainty: float = Field(ge=0, le=10)
    parts: list[str] = Field(max_length=2)


@pytest.fixture
def client(server, key, tmp_path: Path):
    """A client of the server; `settings` replace an endpoint's own."""

    def make(kind: type[Endpoint] = Endpoint, **settings) -> MLLMClient:
        return MLLMClient(kind(**endpoint_of(server, **settings)), Journal(tmp_path / "replies"), LOG)

    return make


def typed(forms: Sequence[type[BaseModel]], draws: int, tokens: int = 6000) -> list[ChatRequest]:
    """Sampled questions for answers of each form."""
    return [
        ChatRequest(
            f"{form.__name__} {seed}", "?", form, (PICTURE,), temperature=1.0, seed=seed, max_tokens=tokens
        )
        for form in forms
        for seed in range(draws)
    ]


@pytest.fixture
def raw(server, key, tmp_path: Path):
    """The very texts of the server's answers; each question was asked once."""

    def ask_all(requests: Sequence[ChatRequest]) -> list[str]:
        endpoint = Endpoint(**endpoint_of(server, max_concurrency=16, max_retries=0))
        journal = Journal(tmp_path / "texts")
        answers = MLLMClient(endpoint, journal, LOG).map(requests, bar=False)
        assert [answer.error for answer in answers if answer.error] == []
        assert len(journal) == len(requests)
        bodies = [canonical_json(chat_payload(endpoint, request)) for request in requests]
        return [journal.get(sha256_hex(body.encode()))["text"] for body in bodies]

    return ask_all


def test_every_schema_of_every_stage_is_answered_with_json_that_fits(raw):
    requests = typed(FORMS, DRAWS)
    texts = raw(requests)
    for request, text in zip(requests, texts, strict=True):
        jsonschema.validate(json.loads(text), request.schema.model_json_schema())
        assert "\n" not in text  # vLLM's grammar leaves no room between the parts of an answer
    assert len(set(texts)) > len(FORMS)


def test_bounds_hold_while_an_answer_is_written(raw):
    requests = typed([Tight], 24)
    values = [json.loads(text) for text in raw(requests)]
    for value in values:
        jsonschema.validate(value, Tight.model_json_schema())
    assert max(len(value["name"]) for value in values) == 3  # they were needed


@pytest.mark.parametrize("answer_format", ["strict_json_schema", "json_object", "text"])
def test_other_formats_of_answers_are_taken(client, answer_format):
    """Without bounds or schema the answers of such a model may be malformed; none is refused."""
    asked = client(answer_format=answer_format, max_retries=0)
    answers = asked.map(typed([ImageScore, Tight], 1, tokens=128), bar=False)
    assert [a.error for a in answers if a.error and not a.error.startswith("malformed")] == []


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
def test_preflight_s_question_is_answered(server, key, kind):
    found = ask(kind(**endpoint_of(server)), 300, LOG)
    assert found.works == {
        FreeEndpoint: "answers a picture", TextEndpoint: "answers text by a schema",
        Endpoint: "answers a picture by a schema",
    }[kind], found.problem  # fmt: skip


def test_preflight_s_question_with_a_wrong_key_says_so(server, monkeypatch):
    monkeypatch.setenv("VLM_TEST_KEY", "another")
    assert "401" in ask(Endpoint(**endpoint_of(server)), 300, LOG).problem


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "choice", "answer": "B", "answer_type": "choice", "choices": ("red", "blue")},
        {"kind": "judged", "answers": ("a sports car",), "answer_type": "open"},
    ],
    ids=["reads an answer", "gives a verdict"],
)
def test_a_judge_answers(server, key, any_item, tmp_path, asked):
    item = any_item(question="What is it?", **asked)
    judge = Judge(TextEndpoint(**endpoint_of(server)), Journal(tmp_path / "judge"), LOG, max_failed=0)
    (scored,) = judge.read([item], ["It might be one or the other."])
    assert scored.stage == "judge"


def test_evaluation_by_endpoint_says_what_transformers_says(server, key, run_stage, write_benchmark):
    from components.core.data.dataset import Dataset

    benchmark = [write_benchmark("domain", 24)]
    settings = {"samples_per_item": 0, "pass_k": [], "max_new_tokens": 8, "dtype": "float32"}
    texts = {}
    for name, engine in (("transformers", {}), ("endpoint", {"endpoint": endpoint_of(server)})):
        code, out = run_stage(benchmark, {**settings, "engine": name, **engine}, name)
        assert code == 0
        rows = Dataset.open(out / "predictions", "predictions").to_table().to_pylist()
        texts[name] = {row["item_id"]: whole(row["response"]) for row in rows}
    assert len(set(texts["transformers"].values())) > 1
    assert texts["endpoint"] == texts["transformers"]
    assert json.loads((out / "scores").read_text())["settings"]["engine"]["name"] == "endpoint"
