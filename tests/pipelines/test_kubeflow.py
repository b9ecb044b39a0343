"""The command line against an HTTP server that answers as Kubeflow's API does, to the requests of the SDK's own client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.kubeflow import connect

API = "/apis/v2beta1"


@dataclass
class State:
    """What the server holds, and how it is to behave."""

    pipelines: list[dict] = field(default_factory=list)
    versions: list[dict] = field(default_factory=list)
    experiments: list[dict] = field(default_factory=list)
    recurring: list[dict] = field(default_factory=list)
    runs: dict[str, list[dict]] = field(default_factory=dict)
    """Run id -> its states, one an answer; the last one stays."""
    fail_next: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    token: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    outcome: str = "SUCCEEDED"


def run_states(run_id: str, outcome: str) -> list[dict]:
    def at(state: str, task: str) -> dict:
        details = [
            {"display_name": "preflight", "state": task},
            {"display_name": "preflight-driver", "state": "SUCCEEDED"},
        ]
        return {"run_id": run_id, "state": state, "run_details": {"task_details": details}}

    return [at("RUNNING", "RUNNING"), at("RUNNING", "RUNNING"), at(outcome, outcome)]


class Handler(BaseHTTPRequestHandler):
    state: State

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        state, parts = self.state, urlsplit(self.path)
        path, query = parts.path.removeprefix(API), {k: v[0] for k, v in parse_qs(parts.query).items()}
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state.requests.append((self.command, path))
        if state.fail_next:
            return self._answer(state.fail_next.pop(0), {"error": "asked to fail"})
        if state.token and self.headers.get("authorization") != f"Bearer {state.token}":
            return self._answer(401, {"error": "who are you"})
        kind = (self.command, path)
        if kind == ("GET", "/healthz"):
            return self._answer(200, {"multi_user": False})
        if kind == ("GET", "/pipelines"):
            wanted = json.loads(query["filter"])["predicates"][0]["stringValue"]
            found = [
                p
                for p in state.pipelines
                if p["display_name"] == wanted and p.get("namespace", "") == query.get("namespace", "")
            ]
            return self._answer(200, {"pipelines": found} if found else {})
        if kind == ("POST", "/pipelines"):
            state.pipelines.append({**json.loads(sent), "pipeline_id": f"p{len(state.pipelines)}"})
            return self._answer(200, state.pipelines[-1])
        if path == "/pipelines/upload_version":
            assert b"components:" in sent and b"deploymentSpec:" in sent
            if any(v["display_name"] == query["name"] for v in state.versions):
                return self._answer(409, {"error": "there is one"})
            made = {
                "pipeline_version_id": f"v{len(state.versions)}",
                "pipeline_id": query["pipelineid"],
                "display_name": query["name"],
            }
            state.versions.append(made)
            return self._answer(200, made)
        if self.command == "GET" and path.endswith("/versions"):
            return self._answer(200, {"pipeline_versions": state.versions})
        if kind == ("GET", "/experiments"):
            return self._answer(200, {"experiments": state.experiments})
        if kind == ("POST", "/experiments"):
            state.experiments.append({**json.loads(sent), "experiment_id": "e0"})
            return self._answer(200, state.experiments[-1])
        if kind == ("POST", "/runs"):
            body = json.loads(sent)
            assert body["pipeline_version_reference"]["pipeline_version_id"].startswith("v")
            run_id = f"r{len(state.runs)}"
            state.runs[run_id] = run_states(run_id, state.outcome)
            return self._answer(200, {**body, "run_id": run_id})
        if self.command == "GET" and path.startswith("/runs/"):
            states = state.runs.get(path.removeprefix("/runs/"))
            if states is None:
                return self._answer(404, {"error": "no such run"})
            return self._answer(200, states.pop(0) if len(states) > 1 else states[0])
        if kind == ("POST", "/recurringruns"):
            state.recurring.append({**json.loads(sent), "recurring_run_id": f"j{len(state.requests)}"})
            return self._answer(200, state.recurring[-1])
        if kind == ("GET", "/recurringruns"):
            return self._answer(200, {"recurringRuns": state.recurring})
        if self.command == "DELETE" and path.startswith("/recurringruns/"):
            state.recurring[:] = [
                r for r in state.recurring if r["recurring_run_id"] != path.rpartition("/")[2]
            ]
            return self._answer(200, {})
        if path.endswith(":enable"):
            one = next(r for r in state.recurring if f"/{r['recurring_run_id']}:" in path)
            one["mode"] = "ENABLE"
            return self._answer(200, {})
        return self._answer(500, {"error": f"unexpected {kind}"})

    do_GET = do_POST = do_DELETE = _handle


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def host(state: State, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[str]:
    for name in ("KFP_TOKEN", "KFP_TOKEN_FILE", "KFP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # the SDK keeps its context there
    monkeypatch.setattr("pipelines.kubeflow.Kubeflow.follow.__defaults__", (0.01,))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def call(*arguments: str) -> tuple[int, str]:
    """Exit code, and everything that was said."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_a_run_is_submitted_and_followed(host, state):
    code, said = call("submit", "--namespace", "team", "--host", host)
    assert code == 0, said
    assert "started run r0" in said and "run r0: succeeded" in said
    assert said.count("preflight: running") == 1 and "driver" not in said
    assert [p["display_name"] for p in state.pipelines] == ["vlm-post-training"]


def test_the_same_content_is_uploaded_once(host, state):
    for _ in range(2):
        assert call("submit", "--namespace", "team", "--host", host, "--no-wait")[0] == 0
    assert len(state.versions) == 1 and len(state.runs) == 2
    assert (
        call("submit", "--namespace", "team", "--host", host, "--no-wait", "--set", "hybrid_rl.max_steps=7")[
            0
        ]
        == 0
    )
    assert len(state.versions) == 2 and len(state.pipelines) == 1


@pytest.mark.parametrize(("outcome", "expected"), [("FAILED", 1), ("CANCELED", 3)])
def test_the_exit_code_is_the_run_s(host, state, outcome, expected):
    state.outcome = outcome
    code, said = call("submit", "--namespace", "team", "--host", host)
    assert code == expected and f"run r0 {outcome.lower()}" in said


def test_outages_are_waited_out_while_following(host, state):
    assert call("submit", "--namespace", "team", "--host", host, "--no-wait")[0] == 0
    state.fail_next = [503, 500, 502]
    code, said = call("status", "r0", "--wait", "--namespace", "team", "--host", host)
    assert code == 0 and "run r0: succeeded" in said


def test_a_finished_run_is_told_at_once(host, state):
    state.runs["done"] = run_states("done", "SUCCEEDED")[-1:]
    code, said = call("status", "done", "--wait", "--namespace", "team", "--host", host)
    assert code == 0 and "preflight: succeeded" in said


def test_refusals_say_what_to_do(host, state, monkeypatch):
    code, said = call("status", "nothing", "--namespace", "team", "--host", host)
    assert code == 66 and "404" in said
    state.token = "secret-token"
    code, said = call("status", "nothing", "--namespace", "team", "--host", host)
    assert code == 78 and "KFP_TOKEN" in said
    monkeypatch.setenv("KFP_TOKEN", "secret-token")
    code, said = call("status", "nothing", "--namespace", "team", "--host", host)
    assert code == 66 and "secret-token" not in said
    state.fail_next = [403]
    assert "namespace" in call("status", "nothing", "--namespace", "team", "--host", host)[1]


def test_nobody_there():
    code, said = call("status", "r0", "--host", "http://127.0.0.1:1", "--namespace", "team")
    assert code == 69 and "not reachable" in said


def test_a_schedule_is_made_replaced_and_deleted(host, state):
    assert (
        call("schedule", "nightly", "--namespace", "team", "--host", host, "--timezone", "Europe/Berlin")[0]
        == 0
    )
    (first,) = state.recurring
    assert first["trigger"]["cron_schedule"]["cron"] == "TZ=Europe/Berlin 0 0 1 * * *"
    assert first["mode"] == "ENABLE" and first["no_catchup"] is True and first["max_concurrency"] in (1, "1")
    assert (
        call("schedule", "nightly", "--namespace", "team", "--host", host, "--cron", "0 30 2 * * *")[0] == 0
    )
    (second,) = state.recurring
    assert second["recurring_run_id"] != first["recurring_run_id"] and second["mode"] == "ENABLE"
    assert call("schedule", "nightly", "--delete", "--namespace", "team", "--host", host) == (
        0,
        "deleted 1 recurring runs named nightly\n",
    )
    assert not state.recurring


def test_a_replacement_that_was_interrupted_is_finished_by_the_next(host, state):
    assert call("schedule", "nightly", "--namespace", "team", "--host", host)[0] == 0
    kubeflow = connect(host, "")
    (old,) = state.recurring
    kubeflow.client.create_recurring_run(
        "e0", "nightly", cron_expression="0 0 1 * * *", pipeline_id="p0", version_id="v0", enabled=False
    )
    assert [run["mode"] for run in state.recurring] == [
        "ENABLE",
        "DISABLE",
    ]  # killed here: the old one still runs
    assert call("schedule", "nightly", "--namespace", "team", "--host", host)[0] == 0
    (left,) = state.recurring
    assert left["mode"] == "ENABLE" and left["recurring_run_id"] != old["recurring_run_id"]
