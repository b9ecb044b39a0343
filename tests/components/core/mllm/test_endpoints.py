"""Endpoints as they really answer, over real HTTP: docs/endpoints.md has the same table in words."""

from __future__ import annotations

import json
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import BaseModel, Field

from components.core.mllm import ChatRequest, MLLMClient
from components.core.resume.journal import Journal
from components.core.stage.errors import ConfigError, EndpointError, StageError
from components.core.stage.log import get_logger
from components.core.stage.settings import Endpoint
from tests.serving import QuietHandler, serving

KEY = "sk-test-0123456789abcdef"


class Colour(BaseModel):
    name: str = Field(max_length=40)


class Colours(BaseModel):
    colours: list[Colour] = Field(max_length=9)
    sure: bool = True


ANSWER = {"colours": [{"name": "red"}], "sure": True}
TEXT = json.dumps(ANSWER)
DRAFT = json.dumps({"colours": [{"name": "blue"}]})


class Server(ThreadingHTTPServer):
    """Answers every question with what `reply(body)` says: (status, body[, content type])."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply: Any = lambda body: said(TEXT)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(QuietHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.body())
        self.server.bodies.append(body)
        self.server.headers.append({**self.headers, "path": self.path})
        status, reply, *more = self.server.reply(body)
        self.send(status, reply, *more)

    def do_GET(self) -> None:
        self.send(200, PAGE)


@pytest.fixture
def server():
    with serving(Server()) as server:
        yield server


@pytest.fixture
def ask(server, tmp_path):
    def go(*prompts: str, **settings: Any):
        settings = {"base_url": server.url, "model": "m", "timeout_s": 5, "max_retries": 0, **settings}
        client = MLLMClient(Endpoint(**settings), Journal(tmp_path / "journal"), get_logger("test"))
        prompts = prompts or ("q",)
        return client.map([ChatRequest(p, p, Colours, (b"\x89PNG",)) for p in prompts], bar=False)

    return go


def said(content: Any, finish: str = "stop", **message: Any) -> tuple[int, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


READ = {
    "plain": TEXT,
    "thoughts": f"<think>It may be {DRAFT}, or not.</think>\n{TEXT}",
    "thoughts that were opened in the prompt": f"It may be {DRAFT}.</think>{TEXT}",
    "other tags": f"<reasoning>{DRAFT}</reasoning>{TEXT}",
    "brackets": f"[THINK]{DRAFT}[/THINK]{TEXT}",
    "channels": f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant"
    f"<|channel|>final<|message|>{TEXT}",
    "a fence": f"```json\n{TEXT}\n```",
    "a fence after thoughts": f"<think>hm</think>\n```json\n{TEXT}\n```",
    "a sentence before": f"Here is the JSON you asked for: {TEXT}",
    "a sentence before and after": f"Sure! {TEXT}\n\nLet me know if you need {{more}}.",
    "braces in the sentence": f"The set {{x | x > 0}} aside: {TEXT}",
    "a draft before": f"First I thought {DRAFT}, but it is {TEXT}",
    "white space": f"\n\n  {TEXT}  \n",
    "blocks": [{"type": "thinking", "thinking": DRAFT}, {"type": "text", "text": TEXT}],
    "blocks of plain strings": [TEXT[:9], TEXT[9:]],
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_answers_are_read_in_what_surrounds_them(server, ask, content):
    server.reply = lambda _: said(content)
    (answer,) = ask()
    assert (answer.error, answer.value and answer.value.model_dump()) == (None, ANSWER)
    assert len(server.bodies) == 1


def test_an_answer_among_the_thoughts_is_none(server, ask):
    server.reply = lambda _: said(f"<think>Perhaps {TEXT}, I wonder", "length")
    (answer,) = ask()
    assert answer.error.startswith("malformed: cut off at 1024 tokens")
    assert "within the thoughts" in answer.error
    assert len(server.bodies) == 1  # asked again it would not have more room


def test_a_part_of_a_cut_answer_is_none(server, ask):
    server.reply = lambda _: said(f'{{"things": [{TEXT}, {{"colours": [{{"na', "length")
    assert ask()[0].error.startswith("malformed: cut off")


def test_a_whole_answer_that_white_space_cut_counts(server, ask):
    server.reply = lambda _: said(TEXT + "\n" * 50, "length")
    assert ask()[0].value.model_dump() == ANSWER


MESSAGES = {
    "the parser of thoughts took all": {"content": None, "reasoning_content": TEXT},
    "a function call": {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": TEXT}}]},
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_answers_in_other_fields_are_read(server, ask, message):
    server.reply = lambda _: said(**message)
    assert ask()[0].value.model_dump() == ANSWER


ROWS = {
    "refusal": (said(None, refusal="I cannot look at faces."), "the model refused: I cannot look at faces"),
    "refusal in a block": (said([{"type": "refusal", "refusal": "No."}]), "the model refused: No."),
    "content filter": (said("Partly", "content_filter"), "stopped by the content filter"),
    "refused with 400": ((400, {"error": {"message": "image too small"}}), "HTTP 400: image too small"),
    "FastAPI's 422": ((422, {"detail": [{"msg": "value is no URL"}]}), "HTTP 422: value is no URL"),
    "an error in the choice": (
        (200, {"choices": [{"error": {"code": 400, "message": "bad picture"}}]}),
        "bad picture",
    ),
}


@pytest.mark.parametrize(("reply", "words"), ROWS.values(), ids=ROWS)
def test_refusals_are_errors_of_their_row_in_the_server_s_words(server, ask, reply, words):
    server.reply = lambda body: reply if "bad" in json.dumps(body) else said(TEXT)
    bad, good = ask("bad", "good")
    assert bad.error.startswith("endpoint:") and words in bad.error and "\n" not in bad.error
    assert good.error is None


PAGE = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
DOWN = {
    "HTML with 200": ((200, PAGE), "an HTML page: 502 Bad Gateway"),
    "HTML with 502": ((502, PAGE), "HTTP 502: an HTML page: 502 Bad Gateway"),
    "an error with 200": ((200, {"error": {"message": "engine is dead"}}), "engine is dead"),
    "an error as text": ((200, {"error": "engine is dead"}), "engine is dead"),
    "vLLM's old error": ((200, {"object": "error", "message": "engine is dead"}), "engine is dead"),
    "an error with 200 that names 503": ((200, {"error": {"code": 503, "message": "full"}}), "full"),
    "nothing": ((200, b""), "an empty body"),
    "a stream": ((200, b'data: {"choices": []}\n\n'), "an event stream"),
    "no choices": ((200, {"choices": [], "note": "none today"}), "none today"),
    "choices are null": ((200, {"choices": None}), "no choices"),
    "a list": ((200, []), "no choices"),
    "500": ((500, {"message": "worker died"}), "HTTP 500: worker died"),
}


@pytest.mark.parametrize(("reply", "words"), DOWN.values(), ids=DOWN)
def test_a_server_that_answers_nothing_is_at_fault_and_not_the_data(server, ask, reply, words):
    server.reply = lambda _: reply
    with pytest.raises(EndpointError) as stopped:
        ask("one", "two", "three")
    assert words in str(stopped.value) and "\n" not in str(stopped.value)


def test_nobody_listens(ask):
    with pytest.raises(EndpointError, match="requests failed, the last with: ClientConnectorError"):
        ask("one", "two", base_url="http://127.0.0.1:9/v1")


def test_a_server_that_goes_is_transient_and_its_rows_are_not_bad(server, ask):
    assert ask("one")[0].error is None
    with pytest.raises(StageError) as stopped:
        ask("one", "two", base_url="http://127.0.0.1:9/v1")
    assert type(stopped.value) is StageError


def test_some_failures_among_answers_are_those_of_their_rows(server, ask):
    server.reply = lambda body: (500, b"oops") if "bad" in json.dumps(body) else said(TEXT)
    bad, good = ask("bad", "good")
    assert bad.error == "endpoint: HTTP 500: oops" and good.error is None


SETUP = {
    "no quota": (
        429,
        {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
    ),
    "to be paid": (402, {"error": "Insufficient credits"}),
    "Google's wrong key": (400, [{"error": {"message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]),
    "wrong key with 200": (200, {"error": {"message": "Incorrect API key provided", "code": 401}}),
    "no such model": (400, {"error": {"message": "The model `m` does not exist"}}),
    "a redirect": (302, b"", {"Location": "/login"}),
    "max_tokens": (
        400,
        {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}},
    ),
    "temperature": (400, {"error": {"message": "'temperature' does not support 0, only the default (1)."}}),
    "seed": (422, {"detail": [{"msg": "Extra inputs are not permitted: seed"}]}),
    "schema": (
        400,
        {"error": {"message": "Invalid schema: 'additionalProperties' is required to be false."}},
    ),
}


@pytest.mark.parametrize("reply", SETUP.values(), ids=SETUP)
def test_what_every_request_meets_ends_the_stage_at_once(server, ask, reply):
    server.reply = lambda _: reply
    with pytest.raises(EndpointError):
        ask("one", max_retries=9, max_concurrency=1)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("max_tokens", "token_limit: max_completion_tokens"),
        ("temperature", "omit: [temperature]"),
        ("seed", "omit: [seed]"),
        ("schema", "answer_format: strict_json_schema"),
    ],
)
def test_a_refused_parameter_names_the_setting(server, ask, name, advice):
    server.reply = lambda _: SETUP[name]
    with pytest.raises(EndpointError) as stopped:
        ask("one")
    assert advice in str(stopped.value)


def test_settings_change_what_is_sent(server, ask):
    ask(token_limit="max_completion_tokens", omit=["temperature", "seed"], answer_format="strict_json_schema")
    (body,) = server.bodies
    assert body["max_completion_tokens"] == 1024
    assert not {"max_tokens", "temperature", "seed"} & set(body)
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["colours", "sure"]
    assert schema["$defs"]["Colour"]["properties"] == {"name": {"type": "string"}}


@pytest.mark.parametrize("form", ["json_object", "text"])
def test_without_schemas_the_prompt_has_the_form(server, ask, form):
    assert ask(answer_format=form)[0].value.model_dump() == ANSWER
    (body,) = server.bodies
    assert body.get("response_format") == ({"type": "json_object"} if form == "json_object" else None)
    assert '"maxLength":40' in body["messages"][0]["content"][-1]["text"]


def test_no_usage_is_no_obstacle_without_a_budget(server, ask):
    server.reply = lambda _: (200, {"choices": said(TEXT)[1]["choices"], "usage": None})
    assert ask()[0].completion_tokens == 0
    with pytest.raises(EndpointError, match="carry no `usage`, so max_tokens_total cannot be kept"):
        ask("other", max_tokens_total=100)


def embedder(server, tmp_path, **settings):
    endpoint = Endpoint(base_url=server.url, model="m", max_retries=0, **settings)
    return MLLMClient(endpoint, Journal(tmp_path / "vectors"), get_logger("test"))


def test_the_size_of_embedding_batches_is_a_setting(server, tmp_path):
    def reply(body):
        if len(body["input"]) > 32:
            return 413, {"error": "batch size 64 > maximum allowed batch size 32"}
        return 200, {"data": [{"embedding": "AACAPwAAAEA="} for _ in body["input"]]}  # base64 of 1, 2

    server.reply = reply
    texts = [str(number) for number in range(70)]
    with pytest.raises(EndpointError, match="maximum allowed batch size 32.*embed_batch"):
        embedder(server, tmp_path).embed(texts)
    vectors = embedder(server, tmp_path, embed_batch=32).embed(texts)
    assert vectors.shape == (70, 2) and vectors[0, 1] == pytest.approx(2 / 5**0.5)


@pytest.mark.parametrize(
    "reply", [{"embeddings": [[1.0]]}, [[1.0]], {"data": [{"embedding": []}]}, {"data": []}]
)
def test_vectors_in_another_form_are_an_error_of_the_endpoint(server, tmp_path, reply):
    server.reply = lambda _: (200, reply)
    with pytest.raises(EndpointError, match="unusable reply"):
        embedder(server, tmp_path).embed(["a"])


def test_a_key_that_ends_in_a_newline_is_stripped(server, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\n")
    assert ask()[0].error is None
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "key", [f"{KEY}\nsecond", f"{KEY} two", f"{KEY}é", f"{KEY}\x00".replace("\x00", "\x7f")]
)
def test_a_key_that_cannot_be_sent_is_refused_unprinted(ask, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match=r"\$OPENAI_API_KEY") as refused:
        ask()
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_a_key_that_the_server_repeats_is_not_printed(server, ask, monkeypatch, status):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.reply = lambda _: (status, {"error": {"message": f"wrong: Bearer {KEY}, {KEY}"}})
    try:
        said_ = " ".join(answer.error for answer in ask())
    except StageError as error:
        said_ = str(error)
    assert "wrong" in said_ and KEY not in said_


def test_proxies_come_from_the_environment(server, ask, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(base_url="http://models.invalid/v1")[0].error is None
    assert server.headers[0]["path"] == "http://models.invalid/v1/chat/completions"
    monkeypatch.setenv("no_proxy", "models.invalid")
    with pytest.raises(EndpointError):
        ask("other", base_url="http://models.invalid/v1")
    assert ask("third")[0].error is None  # this machine's own addresses need none
    assert server.headers[-1]["path"] == "/v1/chat/completions"


def test_a_proxy_of_another_kind_is_refused_without_its_password(ask, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://user:secretword@10.0.0.1:1080")
    with pytest.raises(ConfigError, match="no HTTP proxy") as refused:
        ask(base_url="http://models.invalid/v1")
    assert "secretword" not in str(refused.value)
