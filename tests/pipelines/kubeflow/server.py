"""An HTTP server that answers as Kubeflow's API does, and checks requests and answers by its document."""

from __future__ import annotations

import email
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from components.stages import TASKS
from tests.pipelines.kubeflow.openapi import answer_problems, request_problems

API = "/apis/v2beta1"
Answer = tuple[int, dict[str, Any]]


@dataclass
class State:
    """What the server holds, and how it is to behave."""

    pipelines: list[dict] = field(default_factory=list)
    versions: list[dict] = field(default_factory=list)
    experiments: list[dict] = field(default_factory=list)
    recurring: list[dict] = field(default_factory=list)
    runs: dict[str, list[dict]] = field(default_factory=dict)
    """Run id -> its states, one an answer; the last one stays."""
    started: list[dict] = field(default_factory=list)
    """What runs were asked for, in order."""
    fail_next: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    page_size: int = 100
    multi_user: bool = False
    token: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    outcome: str = "SUCCEEDED"
    failing: str = "preflight"
    """The task that fails where the outcome is not success."""
    problems: list[str] = field(default_factory=list)
    """What was against the API's document."""


def run_at(run: dict, state: str, tasks: dict[str, str]) -> dict:
    """A run as the API answers it: Kubeflow lists every node of the workflow as a task."""
    details = [{"display_name": "vlm-post-training-x7k2p", "state": state}]
    for position, (task, task_state) in enumerate(tasks.items()):
        name = task.replace("_", "-")
        details += [
            {"display_name": f"{name}-driver", "state": "SUCCEEDED"},
            {
                "display_name": name,
                "state": task_state,
                "task_id": f"t{position}",
                "create_time": f"2026-01-01T00:{position:02d}:00Z",
                "child_tasks": [{"pod_name": f"vlm-post-training-x7k2p-{position}"}],
                **({"error": {"code": 2, "message": "exit code 66"}} if task_state == "FAILED" else {}),
            },
            {"display_name": "executor", "state": task_state},
        ]
    return {**run, "state": state, "run_details": {"task_details": details}}


def run_states(run: dict, outcome: str, failing: str = "preflight") -> list[dict]:
    """Under way twice, then ended: tasks before the failing one succeeded, later ones were left out."""
    cut = len(TASKS) if outcome == "SUCCEEDED" else TASKS.index(failing)
    done = dict.fromkeys(TASKS[:cut], "SUCCEEDED")
    if outcome != "SUCCEEDED":
        done |= {failing: outcome} | dict.fromkeys(TASKS[cut + 1 :], "RUNTIME_STATE_UNSPECIFIED")
    running = run_at(run, "RUNNING", {TASKS[0]: "RUNNING"})
    return [running, running, run_at(run, outcome, done)]


class Handler(BaseHTTPRequestHandler):
    """One connection; `state` is set by a subclass."""

    state: State

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content_type = self.headers.get("Content-Type") or ""
        self.state.problems += request_problems(self.command, self.path, content_type, body)
        try:
            status, answer = self._answer(body, content_type)
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            status, answer = _error(500, repr(error))
            self.state.problems.append(f"{self.command} {self.path}: {error!r}")
        self.state.problems += answer_problems(self.command, self.path, status, answer)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PATCH = _handle

    def _answer(self, body: bytes, content_type: str) -> Answer:
        state, parts = self.state, urlsplit(self.path)
        path = parts.path.removeprefix(API)
        state.requests.append((self.command, path))
        if state.fail_next:
            return _error(state.fail_next.pop(0), "asked to fail")
        if state.token and self.headers.get("authorization") != f"Bearer {state.token}":
            return _error(401, "who are you")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                sent = _form(body, content_type) if "multipart" in content_type else json.loads(body or "{}")
                return answer(state, query, sent, *match.groups())
        return _error(501, f"the test server does not know {self.command} {path}")


def _form(body: bytes, content_type: str) -> list[dict]:
    """The documents of the YAML file that a form carries."""
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    (part,) = message.get_payload()
    return list(yaml.load_all(part.get_payload(decode=True), yaml.CSafeLoader))


def _error(status: int, message: str) -> Answer:
    return status, {"code": 2, "message": message}


def _page(state: State, query: dict, key: str, items: list[dict]) -> Answer:
    first = int(query.get("page_token") or 0)
    page = items[first : first + state.page_size]
    more = {"next_page_token": str(first + state.page_size)} if first + state.page_size < len(items) else {}
    return 200, ({key: page} if page else {}) | more


def _filtered(query: dict, items: list[dict]) -> list[dict]:
    namespace = query.get("namespace", "")
    found = [item for item in items if (item.get("namespace") or "") == namespace]
    if "filter" in query:
        (predicate,) = json.loads(query["filter"])["predicates"]
        assert predicate["operation"] in ("EQUALS", 1)  # by name or by number, as in any message of the API
        found = [item for item in found if item[predicate["key"]] == predicate["stringValue"]]
    return found


def list_pipelines(state: State, query: dict, _sent: dict) -> Answer:
    return _page(state, query, "pipelines", _filtered(query, state.pipelines))


def create_pipeline(state: State, _query: dict, sent: dict) -> Answer:
    if any((p["name"], p.get("namespace")) == (sent["name"], sent.get("namespace")) for p in state.pipelines):
        return _error(409, "Already exist error: the name is taken")
    state.pipelines.append({**sent, "pipeline_id": f"p{len(state.pipelines)}"})
    return 200, state.pipelines[-1]


def upload_version(state: State, query: dict, documents: list[dict]) -> Answer:
    if any((v["pipeline_id"], v["name"]) == (query["pipelineid"], query["name"]) for v in state.versions):
        return 409, {"code": 6, "message": "Failed to create a pipeline version"}
    spec, *platform = documents
    version = {
        "pipeline_version_id": f"v{len(state.versions)}",
        "pipeline_id": query["pipelineid"],
        "name": query["name"],
        "display_name": query["name"],
        "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec,
    }
    state.versions.append(version)
    return 200, version


def list_versions(state: State, query: dict, _sent: dict, pipeline: str) -> Answer:
    found = [version for version in state.versions if version["pipeline_id"] == pipeline]
    return _page(state, query, "pipeline_versions", found)


def get_version(state: State, _query: dict, _sent: dict, _pipeline: str, version: str) -> Answer:
    found = [v for v in state.versions if v["pipeline_version_id"] == version]
    return (200, found[0]) if found else _error(404, f"PipelineVersion {version} not found")


def list_experiments(state: State, query: dict, _sent: dict) -> Answer:
    return _page(state, query, "experiments", _filtered(query, state.experiments))


def create_experiment(state: State, _query: dict, sent: dict) -> Answer:
    state.experiments.append({**sent, "experiment_id": f"e{len(state.experiments)}"})
    return 200, state.experiments[-1]


def create_run(state: State, _query: dict, sent: dict) -> Answer:
    known = {version["pipeline_version_id"] for version in state.versions}
    if sent["pipeline_version_reference"]["pipeline_version_id"] not in known:
        return _error(404, "PipelineVersion not found")
    run = {**sent, "run_id": f"r{len(state.runs)}"}
    state.started.append(sent)
    state.runs[run["run_id"]] = run_states(run, state.outcome, state.failing)
    return 200, run


def get_run(state: State, _query: dict, _sent: dict, run_id: str) -> Answer:
    states = state.runs.get(run_id)
    if states is None:
        return _error(404, f"Run {run_id} not found")
    return 200, states.pop(0) if len(states) > 1 else states[0]


def retry_run(state: State, _query: dict, _sent: dict, run_id: str) -> Answer:
    (run,) = state.runs[run_id][-1:]
    if run["state"] not in ("FAILED", "CANCELED"):
        return _error(400, "Workflow must be Failed/Error to retry")
    bare = {key: value for key, value in run.items() if key not in ("state", "run_details")}
    state.runs[run_id] = run_states(bare, "SUCCEEDED")
    return 200, {}


def create_recurring(state: State, _query: dict, sent: dict) -> Answer:
    cron = sent["trigger"]["cron_schedule"]["cron"]
    if len(cron.split()) not in (5, 6):  # robfig/cron 1.2
        return _error(400, f"Schedule cron is not a supported format. Error: Expected 5 to 6 fields: {cron}")
    made = {**sent, "recurring_run_id": f"j{len(state.requests)}", "status": f"{sent['mode']}D"}
    state.recurring.append(made)
    return 200, made


def list_recurring(state: State, query: dict, _sent: dict) -> Answer:
    found = [run for run in state.recurring if run["experiment_id"] == query["experiment_id"]]
    return _page(state, query, "recurringRuns", found)


def delete_recurring(state: State, _query: dict, _sent: dict, identifier: str) -> Answer:
    left = [run for run in state.recurring if run["recurring_run_id"] != identifier]
    if len(left) == len(state.recurring):
        return _error(404, "Job not found")
    state.recurring[:] = left
    return 200, {}


def enable_recurring(state: State, _query: dict, _sent: dict, identifier: str) -> Answer:
    (run,) = [run for run in state.recurring if run["recurring_run_id"] == identifier]
    run["status"] = "ENABLED"
    return 200, {}


ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/healthz", lambda state, *_: (200, {"multi_user": state.multi_user})),
    ("GET", "/pipelines", list_pipelines),
    ("POST", "/pipelines", create_pipeline),
    ("POST", "/pipelines/upload_version", upload_version),
    ("GET", "/pipelines/([^/]+)/versions", list_versions),
    ("GET", "/pipelines/([^/]+)/versions/([^/]+)", get_version),
    ("GET", "/experiments", list_experiments),
    ("POST", "/experiments", create_experiment),
    ("POST", "/runs", create_run),
    ("GET", "/runs/([^/:]+)", get_run),
    ("POST", "/runs/([^/:]+):retry", retry_run),
    ("POST", "/recurringruns", create_recurring),
    ("GET", "/recurringruns", list_recurring),
    ("DELETE", "/recurringruns/([^/:]+)", delete_recurring),
    ("POST", "/recurringruns/([^/:]+):enable", enable_recurring),
]
