"""A teacher behind an address is asked what the stage will ask, and only where it will be asked."""

from __future__ import annotations

import pytest

from components.core.stage.settings import parse_settings, stage_config
from components.preflight.endpoints import find_probes
from tests.components.preflight.conftest import good_answer


def scored(path, body):
    """A vLLM server that gives `prompt_logprobs` where they are asked for."""
    status, reply = good_answer(path, body)
    if "prompt_logprobs" in body:
        reply = {**reply, "prompt_logprobs": [None, {"7": {"logprob": -0.5}}, {"8": {"logprob": -1.5}}]}
    return status, reply


@pytest.fixture
def taught(preflight, settings, model_server):
    """Preflight of a run whose teacher is the server."""

    def go(objective="distill", **teacher):
        named = {"base_url": model_server.base_url, "model": "teacher", "max_retries": 0, **teacher}
        return preflight(settings, hybrid_rl={"objective": objective, "teacher": {"server": named}})

    return go


@pytest.mark.parametrize("objective", ["distill", "both"])
def test_the_request_is_the_stage_s(taught, model_server, objective):
    model_server.answer = scored
    assert taught(objective)[0] == 0
    (body,) = model_server.bodies
    assert body["prompt_logprobs"] == 0 and body["max_tokens"] == 1
    assert body["add_generation_prompt"] is False
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant"]
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "text"]


def test_the_limit_s_name_is_the_setting_s(taught, model_server):
    model_server.answer = scored
    assert taught(token_limit="max_completion_tokens")[0] == 0
    assert model_server.bodies[0]["max_completion_tokens"] == 1


def test_a_server_without_them_is_refused(taught, model_server):
    code, message = taught()
    assert code == 69
    assert (
        "hybrid_rl.teacher.server" in message
        and "prompt_logprobs; a teacher has to be served by vLLM" in message
    )


def test_a_server_that_refuses_the_request_is_refused_with_its_words(taught, model_server):
    model_server.answer = lambda path, body: (400, {"error": {"message": "prompt_logprobs is not available"}})
    code, message = taught()
    assert code == 69 and "prompt_logprobs is not available" in message


def test_a_busy_teacher_passes_with_a_note(taught, model_server):
    model_server.answer = lambda path, body: (429, {"error": {"message": "slow down"}})
    code, message = taught()
    assert code == 0 and "slow down" in message


def test_rewards_alone_ask_no_teacher(taught, model_server):
    model_server.answer = lambda path, body: (500, {})
    assert taught("rl", model="not served")[0] == 0
    assert not model_server.bodies


SERVER = {"base_url": "http://x/v1", "model": "m"}
UNREAD = {
    "ids_scoring": ({"endpoint": SERVER}, {"scorer": "proxy"}),
    "evaluation": ({"endpoint": SERVER, "engine": "endpoint"}, {"engine": "transformers"}),
    "topic_matching": ({"model": SERVER, "embedder": SERVER | {"model": "e"}}, {"fine": False}),
    "hybrid_rl": ({"teacher": {"server": SERVER}, "objective": "both"}, {"objective": "rl"}),
}


@pytest.mark.parametrize("stage", UNREAD)
def test_an_endpoint_that_the_settings_leave_unread_is_not_probed(stage):
    used, change = UNREAD[stage]
    probed, spared = (
        [p.model for p in find_probes({stage: parse_settings(stage_config(stage), values)})]
        for values in (used, used | change)
    )
    assert "m" in probed and spared == [model for model in probed if model != "m"]
