"""Preflight's one real question: what endpoints cannot do is said before anything is paid for."""

from __future__ import annotations

import json

import pytest

from tests.components.preflight.conftest import THINGS, good_answer

REFUSED = "Unsupported parameter: '{}' is not supported with this model."


@pytest.fixture
def ask(preflight, settings, model_server):
    """Preflight with one section that names the server."""

    def go(section="ids_scoring", setting="endpoint", **endpoint):
        named = {"base_url": model_server.base_url, "model": "teacher", "max_retries": 0, **endpoint}
        return preflight(settings, **{section: {setting: named}})

    return go


def test_the_question_is_of_the_stage_s_kind(ask, model_server):
    assert ask()[0] == 0
    (body,) = model_server.bodies
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["things"]["maxItems"] == 32
    assert {"temperature", "seed", "max_tokens"} <= set(body)


def test_the_judge_and_the_embedder_of_a_reward_are_asked_one_question_each(
    preflight, settings, model_server
):
    """A picture and a schema for the judge; one batch of texts for the embedder."""
    served = {"base_url": model_server.base_url, "max_retries": 0}
    section = {
        "judge": {"endpoint": {**served, "model": "teacher"}},
        "diversity": {"similarity": "meaning", "embedder": {**served, "model": "voter-1", "embed_batch": 7}},
    }
    assert preflight(settings, hybrid_rl=section)[0] == 0
    chats = [body for body in model_server.bodies if "messages" in body]
    texts = [body["input"] for body in model_server.bodies if "input" in body]
    assert [part["type"] for part in chats[0]["messages"][0]["content"]] == ["image_url", "text"]
    assert len(chats) == 1 and [len(batch) for batch in texts] == [7]
    model_server.answer = lambda path, body: (404, {"error": {"message": "no such route"}})
    code, message = preflight(settings, hybrid_rl=section)
    assert code == 69 and "hybrid_rl.judge.endpoint" in message and "hybrid_rl.diversity.embedder" in message


def refuses(*names):
    """A server that refuses parameters, as OpenAI's do."""

    def answer(path, body):
        text = json.dumps(body)
        for name in names:
            if f'"{name}"' in text:
                return 400, {"error": {"message": REFUSED.format(name), "param": name}}
        return good_answer(path, body)

    return answer


@pytest.mark.parametrize(
    ("names", "cure"),
    [
        (("max_tokens",), "token_limit: max_completion_tokens"),
        (("temperature",), "omit: [temperature]"),
        (("seed",), "omit: [seed]"),
        (("temperature", "seed"), "omit: [temperature, seed]"),
        (("maxLength",), "answer_format: strict_json_schema"),
        (("json_schema",), "answer_format: json_object"),
        (("response_format",), "answer_format: text"),
        (
            ("max_tokens", "temperature", "seed"),
            "token_limit: max_completion_tokens, omit: [temperature, seed]",
        ),
    ],
)
def test_refused_parameters_are_found_out_and_the_setting_named(ask, model_server, names, cure):
    model_server.answer = refuses(*names)
    code, message = ask()
    assert code == 69
    assert cure in message
    assert "ids_scoring.endpoint" in message


def test_the_named_settings_pass(ask, model_server):
    model_server.answer = refuses("max_tokens", "temperature", "seed", "maxLength")
    settings = {"token_limit": "max_completion_tokens", "omit": ["temperature", "seed"]}
    assert ask(**settings, answer_format="strict_json_schema")[0] == 0


def test_a_model_without_eyes(ask, model_server):
    def answer(path, body):
        if "image_url" in json.dumps(body):
            return 400, {"error": {"message": "this model is not multimodal"}}
        return good_answer(path, body)

    model_server.answer = answer
    code, message = ask()
    assert code == 69 and "it answers without a picture" in message


def test_answers_that_keep_to_no_schema(ask, model_server):
    choice = {"message": {"content": "I see a red square."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    model_server.answer = lambda path, body: (200, {"choices": [choice], "usage": usage})
    code, message = ask()
    assert code == 69 and "do not keep to a JSON schema" in message


def test_a_model_that_thinks_aloud_passes(ask, model_server):
    text = f"<think>hm</think>\n```json\n{json.dumps(THINGS)}\n```"
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    model_server.answer = lambda path, body: (200, {"choices": [choice], "usage": usage})
    assert ask()[0] == 0


def test_no_usage_matters_where_tokens_are_counted(ask, model_server):
    choice = {"message": {"content": json.dumps(THINGS)}, "finish_reason": "stop"}
    model_server.answer = lambda path, body: (200, {"choices": [choice]})
    code, message = ask()
    assert code == 0 and "counts no tokens" in message
    code, message = ask(max_tokens_total=1000)
    assert code == 69 and "max_tokens_total cannot be kept" in message


def test_embedders_embed_a_whole_batch(preflight, settings, model_server):
    def answer(path, body):
        if path == "/v1/embeddings" and len(body["input"]) > 32:
            return 422, {"detail": "batch size > 32"}
        return good_answer(path, body)

    model_server.answer = answer
    server = {"base_url": model_server.base_url, "model": "teacher", "max_retries": 0}
    section = {"model": server, "embedder": server}
    code, message = preflight(settings, topic_matching=section)
    assert code == 69
    assert "topic_matching.embedder" in message and "batch size > 32" in message and "embed_batch" in message
    section["embedder"] = {**server, "embed_batch": 32}
    assert preflight(settings, topic_matching=section)[0] == 0


def test_a_busy_server_passes_with_a_note(ask, model_server):
    model_server.answer = lambda path, body: (429, {"error": {"message": "slow down"}})
    code, message = ask()
    assert code == 0 and "slow down" in message


@pytest.mark.parametrize("models", [["teacher"], [{"id": "teacher"}], {"models": [{"name": "teacher"}]}])
def test_lists_of_models_in_other_forms(ask, model_server, models):
    model_server.listing = models
    assert ask()[0] == 0
    assert ask(model="nobody")[0] == 69


def test_without_a_list_of_models_the_answer_decides(ask, model_server):
    model_server.listing = b"<html><title>Not here</title></html>"
    assert ask()[0] == 0
    model_server.answer = lambda path, body: (404, {"error": {"message": "no such model"}})
    code, message = ask()
    assert code == 69 and "an HTML page: Not here" in message and "no such model" in message


def test_a_key_is_never_printed(ask, model_server, monkeypatch):
    key = "sk-test-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key + "\n")
    model_server.key = key
    assert ask()[0] == 0
    model_server.answer = lambda path, body: (400, {"error": {"message": f"bad: {key}"}})
    code, message = ask()
    assert code == 69 and "bad:" in message and key not in message
    monkeypatch.setenv("OPENAI_API_KEY", key + "\nsecond line")
    code, message = ask()
    assert code == 69 and key not in message
