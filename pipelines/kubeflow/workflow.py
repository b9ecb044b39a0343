"""The Argo workflow behind a run, as Kubeflow keeps it: states of tasks, messages, the policy of retries.

`GET /apis/v2beta1/runs/{id}` lists the workflow's nodes without messages, and stops listing changes once the
workflow exceeds 1 MiB, because Argo then compresses its nodes. `GET /apis/v1beta1/runs/{id}` answers with the
workflow itself. Kubeflow keeps it after Kubernetes has removed the workflow and its pods.

A node's name is a path, `run-x7k2p(0).root(0).sft-1-domain(0).executor(1)`: the last number is the attempt.
Sub-pipelines add elements in front of the task's. Without retries the numbers are missing.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from components.stages import TASKS
from pipelines.graph.components import task_name

_PHASES = {
    "Succeeded": "SUCCEEDED",
    "Skipped": "SKIPPED",
    "Failed": "FAILED",
    "Error": "FAILED",
    "Running": "RUNNING",
    "Pending": "PENDING",
}
"""Argo's phases as states of Kubeflow's API. `Omitted`, left out because of one before, has none."""
_ELEMENT = re.compile(r"^(?P<name>.*?)(\((?P<attempt>\d+)\))?$")
_STOPPED = "workflow shutdown with strategy"
"""Argo's message about pods of a run that somebody ended."""
_DEFAULT_POLICY = "OnFailure"
"""Argo's own, where neither the template nor the workflow's defaults name one."""
REPEATS_FAILURES = ("Always", "OnFailure")
"""Policies under which a container that ended with an error is started again."""


@dataclass(frozen=True)
class TaskState:
    """One of our tasks in a run."""

    state: str
    """As in Kubeflow's API: RUNNING, SUCCEEDED, FAILED, SKIPPED, PENDING, CANCELED."""
    message: str = ""
    """What Argo says about the latest attempt, e.g. `main: OOMKilled (exit code 1)`; "" if nothing."""
    cached: bool = False
    """Whether its result came from the cache."""
    memory: str = ""
    """Memory limit of the latest attempt, e.g. `4G`; "" if it has none."""
    log_key: str = ""
    """Key of the latest attempt's archived log in the object store; "" if none was archived."""


@dataclass(frozen=True)
class Workflow:
    """A workflow as Kubeflow has it."""

    manifest: Mapping[str, Any]

    @classmethod
    def received(cls, answer: Mapping[str, Any]) -> Workflow | None:
        """The workflow in an answer of `GET /apis/v1beta1/runs/{id}`; None if there is none in it."""
        text = (answer.get("pipeline_runtime") or {}).get("workflow_manifest")
        return cls(json.loads(text)) if text else None

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"].get("name", ""))

    @property
    def namespace(self) -> str:
        """Where its pods run."""
        return str(self.manifest["metadata"].get("namespace", ""))

    @property
    def bucket(self) -> str:
        """Bucket into which Argo archives logs; "" if it is not known yet."""
        found = self._status.get("artifactRepositoryRef") or {}
        return str((found.get("artifactRepository") or {}).get("s3", {}).get("bucket", ""))

    @property
    def _status(self) -> Mapping[str, Any]:
        return self.manifest.get("status") or {}

    @cached_property
    def nodes(self) -> list[Mapping[str, Any]]:
        """Argo's nodes, compressed in the manifest or not; empty if Argo keeps them elsewhere."""
        plain, packed = self._status.get("nodes"), self._status.get("compressedNodes")
        if not plain and packed:
            plain = json.loads(gzip.decompress(base64.b64decode(packed)))
        return list((plain or {}).values())

    @cached_property
    def tasks(self) -> dict[str, TaskState]:
        """Task -> its state, of those of our tasks that have begun, in the order of the pipeline."""
        found = {task: self._task(task) for task in TASKS}
        return {task: state for task, state in found.items() if state is not None}

    def _task(self, task: str) -> TaskState | None:
        driver = _latest(self._pods(f"{task}-driver"))
        if driver is not None and _PHASES.get(driver["phase"]) == "FAILED":
            return TaskState("FAILED", f"driver: {driver.get('message') or 'failed'}")
        outer = [node for node in self.nodes if _ends_with(node["name"], task)]
        # The outermost node, without a number, is the task whatever its attempts did.
        node = min(outer, key=lambda node: len(node["name"]), default=None)
        state = _PHASES.get(node["phase"]) if node else None
        if state is None:
            return None
        executors = [node for node in self.nodes if _ends_with(node["name"], task, "executor")]
        latest = _latest(node for node in executors if node["type"] == "Pod")
        if latest is None:
            cached = state == "SUCCEEDED" and any(node["type"] == "Skipped" for node in executors)
            return TaskState(state, cached=cached)
        if state == "RUNNING" and latest["phase"] == "Pending":
            state = "PENDING"
        message = str(latest.get("message") or "") if state != "SUCCEEDED" else ""
        if state == "FAILED" and _STOPPED in message:
            state = "CANCELED"
        return TaskState(state, message, memory=_memory(latest), log_key=_log_key(latest))

    @cached_property
    def problems(self) -> dict[str, str]:
        """What failed besides tasks: name of the pod's node, or of the workflow -> message."""
        tasks = {part for task in TASKS for part in (task, f"{task}-driver")}
        found = {}
        for node in self.nodes:
            owner = _owner(node["name"])
            failed = node["type"] == "Pod" and _PHASES.get(node["phase"]) == "FAILED"
            if failed and owner not in tasks:
                found[owner] = str(node.get("message") or "failed")
        if self._status.get("message"):
            found[self.name] = str(self._status["message"])
        return found

    def _pods(self, name: str) -> Iterator[Mapping[str, Any]]:
        return (node for node in self.nodes if node["type"] == "Pod" and _owner(node["name"]) == name)

    @property
    def asks_for_retries(self) -> bool:
        """Whether a task of it asks for repeated attempts."""
        dags = ((template.get("dag") or {}).get("tasks", []) for template in self._templates)
        arguments = (task.get("arguments", {}).get("parameters", []) for tasks in dags for task in tasks)
        counts = (a.get("value", "") for given in arguments for a in given if a["name"] == "retry-max-count")
        return any(str(count).isdigit() and int(count) > 0 for count in counts)

    @property
    def retry_policy(self) -> str:
        """Argo's policy for attempts: the template's own, else the workflow's default, else Argo's."""
        default = (self._spec.get("templateDefaults") or {}).get("retryStrategy") or {}
        strategies = (template.get("retryStrategy") for template in self._templates)
        own: Mapping[str, Any] = next((s for s in strategies if s and "backoff" in s), {})
        return str(own.get("retryPolicy") or default.get("retryPolicy") or _DEFAULT_POLICY)

    @property
    def _spec(self) -> Mapping[str, Any]:
        return self.manifest.get("spec") or {}

    @property
    def _templates(self) -> list[Mapping[str, Any]]:
        return self._spec.get("templates") or []


def is_executor_of(node_name: str, task: str) -> bool:
    """Whether a node's name is that of an attempt of a task."""
    return _ends_with(node_name, task, "executor")


def _elements(name: str) -> list[tuple[str, int]]:
    """The elements of a node's name as everybody else writes them; attempt -1 is none."""
    matches = (_ELEMENT.fullmatch(part) for part in name.split("."))
    return [(task_name(m["name"]), int(m["attempt"] or -1)) for m in matches if m]


def _ends_with(name: str, *last: str) -> bool:
    return tuple(element for element, _ in _elements(name)[-len(last) :]) == last


def _owner(name: str) -> str:
    """The element that a pod's node belongs to: a task, or a driver (`sft_1_domain-driver`)."""
    elements = [element for element, _ in _elements(name)]
    owner = elements[-2] if elements[-1] == "executor" and len(elements) > 1 else elements[-1]
    return re.sub(r"_driver$", "-driver", owner)


def _latest(nodes: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    def place(node: Mapping[str, Any]) -> tuple[str, int]:
        return str(node.get("startedAt") or ""), _elements(node["name"])[-1][1]

    return max(nodes, key=place, default=None)


def _memory(node: Mapping[str, Any]) -> str:
    """The memory limit in the patch of a pod."""
    given = (node.get("inputs") or {}).get("parameters") or []
    patch = next((p.get("value") for p in given if str(p["name"]).startswith("pod-spec-patch")), None)
    containers = json.loads(patch).get("containers", []) if patch else []
    limits = (container.get("resources", {}).get("limits", {}) for container in containers)
    return next((str(limit["memory"]) for limit in limits if "memory" in limit), "")


def _log_key(node: Mapping[str, Any]) -> str:
    artifacts = (node.get("outputs") or {}).get("artifacts") or []
    found = (a["s3"].get("key", "") for a in artifacts if a["name"] == "main-logs" and "s3" in a)
    return str(next(found, ""))
