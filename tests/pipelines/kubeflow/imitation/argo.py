"""Argo's workflow of a run, and what Kubeflow makes of it, as recorded (`recorded/`)."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("recorded")
_STATES = {
    "Succeeded": "SUCCEEDED", "Failed": "FAILED", "Error": "FAILED", "Running": "RUNNING",
    "Skipped": "SKIPPED", "Pending": "PENDING",
}  # fmt: skip
_PHASES = {
    "SUCCEEDED": "Succeeded", "FAILED": "Failed", "CANCELED": "Failed", "RUNNING": "Running",
    "PENDING": "Running", "CACHED": "Succeeded", "SKIPPED": "Skipped", "OMITTED": "Omitted",
}  # fmt: skip
MESSAGES = {
    "FAILED": "main: Error (exit code 1)",
    "CANCELED": "workflow shutdown with strategy:  Terminate",
    "PENDING": "ContainerCreating",
}
"""Argo's message about an attempt in such a state."""


def recorded(name: str) -> dict[str, Any]:
    """A recorded answer."""
    return json.loads(gzip.decompress((RECORDED / f"{name}.json.gz").read_bytes()))


def recorded_text(name: str) -> dict[str, Any]:
    """A recorded answer that is small enough to lie there as text."""
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


def details(nodes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The task details of a run: every node of its workflow, without messages; omitted ones have no state."""
    found = []
    for identifier, node in nodes.items():
        state = _STATES.get(node["phase"])
        found.append(
            {
                "display_name": node["displayName"],
                "task_id": identifier,
                "create_time": "2026-01-01T00:00:00Z",  # the run's, of every node
                **({"state": state} if state else {}),
                **(
                    {"child_tasks": [{"pod_name": c} for c in node["children"]]}
                    if node.get("children")
                    else {}
                ),
            }
        )
    return found


def workflow(
    run_id: str,
    tasks: Mapping[str, str],
    messages: Mapping[str, str] | None = None,
    policy: str = "OnError",
    retries: int = 0,
    compressed: bool = False,
) -> dict[str, Any]:
    """A workflow with these states of tasks (as in `_PHASES`), and unusual messages of Argo's."""
    name = f"vlm-post-training-{run_id}"
    nodes: dict[str, Any] = {}
    for task, state in tasks.items():
        nodes |= _nodes(
            name, task.replace("_", "-"), state, (messages or {}).get(task, MESSAGES.get(state, ""))
        )
    strategy = {"backoff": {"factor": "{{inputs.parameters.retry-backoff-factor}}"}}
    asked = {"parameters": [{"name": "retry-max-count", "value": str(retries)}]}
    packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    return {
        "metadata": {"name": name, "namespace": "kubeflow", "labels": {"pipeline/runid": run_id}},
        "spec": {
            "templates": [
                {"name": "metadata-0-1-retry-system-container-impl", "retryStrategy": strategy},
                {"name": "root", "dag": {"tasks": [{"name": "preflight", "arguments": asked}]}},
            ],
            "templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": policy}},
        },
        "status": {
            **({"compressedNodes": packed} if compressed else {"nodes": nodes}),
            "artifactRepositoryRef": {"artifactRepository": {"s3": {"bucket": "mlpipeline"}}},
        },
    }


def _nodes(workflow: str, task: str, state: str, message: str) -> dict[str, Any]:
    """A task's nodes: its driver, itself and its attempt, each with Argo's own repetition around it."""
    root, phase = f"{workflow}(0).root(0)", _PHASES[state]
    if state in ("OMITTED", "SKIPPED"):
        driver = "Omitted" if state == "OMITTED" else "Succeeded"
        pairs = [(f"{task}-driver", "Skipped", driver), (task, "Skipped", phase)]
        return dict(_node(f"{root}.{name}", kind, found) for name, kind, found in pairs)
    inner = f"{task}(0).executor"
    found = [
        _node(f"{root}.{task}-driver", "Retry", "Succeeded"),
        _node(f"{root}.{task}-driver(0)", "Pod", "Succeeded"),
        _node(f"{root}.{task}", "Retry", phase, children=[f"{task}-dag"]),
        _node(f"{root}.{task}(0)", "DAG", phase),
    ]
    if state == "CACHED":
        found.append(_node(f"{root}.{inner}", "Skipped", "Skipped", "when 'true != true' evaluated false"))
        return dict(found)
    found.append(_node(f"{root}.{inner}", "Retry", phase, message))
    attempt = "Pending" if state == "PENDING" else phase
    found.append(_node(f"{root}.{inner}(0)", "Pod", attempt, message, **_attempt(workflow, task)))
    return dict(found)


def _node(name: str, kind: str, phase: str, message: str = "", **more: Any) -> tuple[str, dict[str, Any]]:
    display = name.rpartition(".")[2]
    return name, {
        "name": name,
        "displayName": display,
        "type": kind,
        "phase": phase,
        "message": message,
        **more,
    }


def _attempt(workflow: str, task: str) -> dict[str, Any]:
    limits = {"containers": [{"resources": {"limits": {"memory": "4G"}}}]}
    log = {"name": "main-logs", "s3": {"key": f"private-artifacts/kubeflow/{workflow}/{task}/main.log"}}
    return {
        "inputs": {"parameters": [{"name": "pod-spec-patch", "value": json.dumps(limits)}]},
        "outputs": {"artifacts": [log]},
    }
