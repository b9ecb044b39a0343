from __future__ import annotations

import socket

import pytest
from pydantic import Field

from components.core.stage.settings import Endpoint, Settings
from components.preflight.endpoints import Probe, find_probes, probe


class _Voters(Settings):
    voters: tuple[Endpoint, ...] = ()
    by_name: dict[str, Endpoint] = Field(default_factory=dict)


def test_endpoints_are_found_wherever_they_stand_and_asked_once() -> None:
    one = Endpoint(base_url="http://a/v1", model="m")
    same = Endpoint(base_url="http://a/v1/", model="m", timeout_s=3)
    other = Endpoint(base_url="http://a/v1", model="n")
    found = find_probes({"vote": _Voters(voters=(one, other), by_name={"judge": same})})
    assert found == [
        Probe("http://a/v1", "m", "OPENAI_API_KEY", ("vote.voters[0]", "vote.by_name.judge")),
        Probe("http://a/v1", "n", "OPENAI_API_KEY", ("vote.voters[1]",)),
    ]


def ask(server, *models: str, path: str = "/v1", key_env: str = "TEST_KEY") -> list[str]:
    base_url = server.base_url.replace("/v1", path)
    return [str(e) for e in probe([Probe(base_url, model, key_env, ("x.endpoint",)) for model in models], 5)]


def test_served_models_pass_and_a_server_is_asked_once(model_server) -> None:
    assert ask(model_server, "teacher", "voter-1") == []
    assert model_server.asked == 1


def test_an_unknown_model_gets_the_nearest_name(model_server) -> None:
    (message,) = ask(model_server, "voter1")
    assert "x.endpoint" in message
    assert "did you mean 'voter-1'?" in message


def test_keys_come_from_the_environment(model_server, monkeypatch) -> None:
    model_server.key = "secret"
    assert "check the key in $TEST_KEY" in ask(model_server, "teacher")[0]
    monkeypatch.setenv("TEST_KEY", "secret")
    assert ask(model_server, "teacher") == []


def test_a_wrong_path(model_server) -> None:
    assert "HTTP 404; base_url should end with /v1" in ask(model_server, "teacher", path="/v2")[0]


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        (error,) = probe([Probe(base_url, "m", "TEST_KEY", ("x",))], 5)
    assert "cannot be reached" in str(error)
    assert "start the server or correct base_url; on a cluster a network policy may forbid" in str(error)


def test_a_server_that_hangs_costs_the_timeout_only() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        base_url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        (error,) = probe([Probe(base_url, "m", "TEST_KEY", ("x",))], 0.2)
    assert "timed out" in str(error)


@pytest.mark.parametrize("models", [[], ["a", "b"]])
def test_what_is_served_is_listed(model_server, models) -> None:
    model_server.models = models
    (message,) = ask(model_server, "zebra")
    assert message.endswith("it serves: a, b" if models else "it lists no model")
