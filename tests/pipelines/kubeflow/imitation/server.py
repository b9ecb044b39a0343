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
from tests.pipelines.kubeflow.imitation import argo
from tests.pipelines.kubeflow.imitation.openapi import answer_problems, request_problems

API = "/apis/v2beta1"
OLD_API = "/apis/v1beta1"
"""Not in the published document of the API, and served all the same."""
WORKFLOW = "_workflow"
"""Where a run of `State.runs` has its workflow, which only the old API shows."""
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
    """Statuses of the next answers; 0 is a usual answer."""
    page_size: int = 100
    multi_user: bool = True
    token: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    workflows: dict[str, Any] = field(default_factory=dict)
    """Run id -> its workflow when it was last asked for."""
    outcome: str = "SUCCEEDED"
    failing: str = "preflight"
    """The task that fails where the outcome is not success."""
    message: str = ""
    """Argo's message about it, where it is not the usual one."""
    compressed: bool = False
    """Whether the workflow is too large, from the second answer about a run on."""
    policy: str = "OnError"
    """Argo's policy for repeated attempts, as Kubeflow's manifests set it."""
    retries: int = 0
    races: int = 0
    """So many requests to retry a run meet Argo's own change of its workflow."""
    lost: set[str] = field(default_factory=set)
    """Runs whose workflow is gone."""
    problems: list[str] = field(default_factory=list)
    """What was against the API's document."""

    def schedule_starts_a_run(self, recurring_run: str) -> str:
        """A run under way that a recurring run has started; its id."""
        (owner,) = [run for run in self.recurring if run["recurring_run_id"] == recurring_run]
        run = {
            "run_id": f"s{len(self.runs)}",
            "display_name": f"{owner['display_name']}-1-980924085",
            "experiment_id": owner["experiment_id"],
            "recurring_run_id": recurring_run,
            "created_at": _time(len(self.requests)),
            "pipeline_version_reference": owner["pipeline_version_reference"],
        }
        self.runs[run["run_id"]] = run_states(run, "SUCCEEDED")[:1]
        return run["run_id"]

    def ends(self, run_id: str) -> None:
        """A run ends well."""
        self.runs[run_id] = run_states(self.runs[run_id][-1], "SUCCEEDED")[-1:]


def _time(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z"


def run_at(run: dict, state: str, tasks: dict[str, str], frozen: dict | None = None, **how: Any) -> dict:
    """A run as the API answers it, with its workflow.

    Kubeflow lists every node of the workflow as a task, as long as the nodes are not compressed: then the
    list stays as it was, that of `frozen`.
    """
    found = argo.workflow(run["run_id"], tasks, **how)
    listed = argo.details(found["status"].get("nodes") or {})
    root = {"display_name": f"{found['metadata']['name']}(0)", "state": state}
    answered = {"task_details": [root, *listed]} if frozen is None else frozen["run_details"]
    return {**run, "state": state, "run_details": answered, WORKFLOW: found}


def run_states(
    run: dict, outcome: str, failing: str = "preflight", message: str = "", **how: Any
) -> list[dict]:
    """Under way twice, then ended: tasks before the failing one succeeded, later ones were left out."""
    cut = len(TASKS) if outcome == "SUCCEEDED" else TASKS.index(failing)
    done = dict.fromkeys(TASKS[:cut], "SUCCEEDED")
    messages = {failing: message} if message else {}
    if outcome != "SUCCEEDED":
        done |= {failing: outcome} | dict.fromkeys(TASKS[cut + 1 :], "OMITTED")
    running = run_at(run, "RUNNING", {TASKS[0]: "RUNNING"}, **{**how, "compressed": False})
    frozen = running if how.get("compressed") else None
    return [running, running, run_at(run, outcome, done, frozen, messages=messages, **how)]


class Handler(BaseHTTPRequestHandler):
    """One connection; `state` is set by a subclass."""

    state: State

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content_type = self.headers.get("Content-Type") or ""
        published = not self.path.startswith(OLD_API)
        if published:
            self.state.problems += request_problems(self.command, self.path, content_type, body)
        try:
            status, answer = self._answer(body, content_type)
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            status, answer = _error(500, repr(error))
            self.state.problems.append(f"{self.command} {self.path}: {error!r}")
        if published:
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
        if status := state.fail_next.pop(0) if state.fail_next else 0:
            return _error(status, "asked to fail")
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


def _filtered(query: dict, items: list[dict], multi_user: bool) -> list[dict]:
    namespace = query.get("namespace", "")
    found = [item for item in items if not multi_user or (item.get("namespace") or "") == namespace]
    if "filter" in query:
        (predicate,) = json.loads(query["filter"])["predicates"]
        assert predicate["operation"] in ("EQUALS", 1)  # by name or by number, as in any message of the API
        found = [item for item in found if item[predicate["key"]] == predicate["stringValue"]]
    return found


def list_pipelines(state: State, query: dict, _sent: dict) -> Answer:
    return _page(state, query, "pipelines", _filtered(query, state.pipelines, state.multi_user))


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
        "description": query.get("description", ""),
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
    return _page(state, query, "experiments", _filtered(query, state.experiments, state.multi_user))


def create_experiment(state: State, _query: dict, sent: dict) -> Answer:
    state.experiments.append({**sent, "experiment_id": f"e{len(state.experiments)}"})
    return 200, state.experiments[-1]


def create_run(state: State, _query: dict, sent: dict) -> Answer:
    known = {version["pipeline_version_id"] for version in state.versions}
    if sent["pipeline_version_reference"]["pipeline_version_id"] not in known:
        return _error(404, "PipelineVersion not found")
    run = {**sent, "run_id": f"r{len(state.runs)}", "created_at": _time(len(state.requests))}
    state.started.append(sent)
    how = {"policy": state.policy, "retries": state.retries, "compressed": state.compressed}
    state.runs[run["run_id"]] = run_states(run, state.outcome, state.failing, state.message, **how)
    return 200, run


def list_runs(state: State, query: dict, _sent: dict) -> Answer:
    assert query["sort_by"] == "created_at desc"
    found = [bare(states[0]) for states in state.runs.values()]
    found = [run for run in found if run["experiment_id"] == query["experiment_id"]]
    return _page(state, query, "runs", sorted(found, key=lambda run: run["created_at"], reverse=True))


def bare(run: dict) -> dict:
    """A run as the API answers it, without what only the old API shows."""
    return {key: value for key, value in run.items() if key != WORKFLOW}


def get_run(state: State, _query: dict, _sent: dict, run_id: str) -> Answer:
    states = state.runs.get(run_id)
    if states is None:
        return _error(404, f"Run {run_id} not found")
    state.workflows[run_id] = states[0].get(WORKFLOW)
    return 200, bare(states.pop(0) if len(states) > 1 else states[0])


def get_run_with_workflow(state: State, _query: dict, _sent: dict, run_id: str) -> Answer:
    """The old API's answer, of the moment in which the run was last asked for."""
    workflow = state.workflows.get(run_id)
    runtime = {"workflow_manifest": json.dumps(workflow)} if workflow else {}
    return 200, {"run": {"id": run_id}, "pipeline_runtime": runtime}


def terminate_run(state: State, _query: dict, _sent: dict, run_id: str) -> Answer:
    (run,) = state.runs[run_id][-1:]
    if run_id in state.lost:
        state.runs[run_id] = [{**run, "state": "CANCELING"}]
        return 400, {"code": 3, "message": f"Failed to terminate a run {run_id}. Row not found"}
    state.runs[run_id] = [{**run, "state": "CANCELED"}]
    return 200, {}


def retry_run(state: State, _query: dict, _sent: dict, run_id: str) -> Answer:
    (run,) = state.runs[run_id][-1:]
    if state.races:
        state.races -= 1
        return _error(500, "Operation cannot be fulfilled on workflows.argoproj.io: object has been modified")
    if run["state"] not in ("FAILED", "CANCELED"):
        return _error(400, "Workflow must be Failed/Error to retry")
    state.runs[run_id] = run_states(run, "SUCCEEDED")
    return 200, {}


def create_recurring(state: State, _query: dict, sent: dict) -> Answer:
    cron = sent["trigger"]["cron_schedule"]["cron"]
    if len(cron.split()) not in (5, 6):  # robfig/cron 1.2
        return _error(400, f"Schedule cron is not a supported format. Error: Expected 5 to 6 fields: {cron}")
    number = len(state.requests)
    made = {
        **sent,
        "recurring_run_id": f"j{number}",
        "status": f"{sent['mode']}D",
        "created_at": _time(number),
        "namespace": "team" if state.multi_user else "kubeflow",
    }
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
    # The workflow of a run belongs to its recurring run: Kubernetes removes it, and Kubeflow hears nothing.
    for run_id, states in state.runs.items():
        if states[0].get("recurring_run_id") == identifier and states[0]["state"] == "RUNNING":
            state.lost.add(run_id)
            states[:] = states[:1]
    return 200, {}


def get_recurring(state: State, _query: dict, _sent: dict, identifier: str) -> Answer:
    found = [run for run in state.recurring if run["recurring_run_id"] == identifier]
    return (200, found[0]) if found else _error(404, f"Job {identifier} not found")


def switch_recurring(state: State, _query: dict, _sent: dict, identifier: str, how: str) -> Answer:
    (run,) = [run for run in state.recurring if run["recurring_run_id"] == identifier]
    run["status"] = f"{how.upper()}D"
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
    ("GET", "/runs", list_runs),
    ("GET", "/runs/([^/:]+)", get_run),
    ("GET", f"{OLD_API}/runs/([^/:]+)", get_run_with_workflow),
    ("POST", "/runs/([^/:]+):terminate", terminate_run),
    ("POST", "/runs/([^/:]+):retry", retry_run),
    ("POST", "/recurringruns", create_recurring),
    ("GET", "/recurringruns", list_recurring),
    ("DELETE", "/recurringruns/([^/:]+)", delete_recurring),
    ("GET", "/recurringruns/([^/:]+)", get_recurring),
    ("POST", "/recurringruns/([^/:]+):(enable|disable)", switch_recurring),
]
