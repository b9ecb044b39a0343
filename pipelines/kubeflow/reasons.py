"""Why a task failed, in words, with the setting that changes it.

Kubeflow's API shows no error of a task. Argo's message about the pod says what Kubernetes did to it. The
stage's own last line says what the stage found; the launcher in the pod reports every failure of a stage as
exit code 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from pipelines.kubeflow.workflow import REPEATS_FAILURES, TaskState, Workflow

_ADVICE: tuple[tuple[str, str], ...] = (
    (r"OOMKilled", "it needs more memory than its limit{limit}: raise resources.{task}.memory"),
    (
        r"low on resource: memory|\(exit code 137\)",
        "killed, most likely because its node ran out of memory: state what it needs in "
        "resources.{task}.memory{limit}",
    ),
    (
        r"ephemeral[- ](local )?storage|low on resource: (nodefs|imagefs)",
        "its node has too little ephemeral storage, through which all artifacts pass: choose a larger node "
        "by resources.{task}.node_selector",
    ),
    (
        r"violates PodSecurity",
        "the namespace's Pod Security level refuses the pod: compile with this version, whose pods do not "
        "run as root, or have its label pod-security.kubernetes.io/enforce changed",
    ),
    (
        r"exceeded quota",
        "the namespace's ResourceQuota is used up: ask for less in resources.{task}, or have it raised",
    ),
    (
        r"maximum (cpu|memory) usage per|LimitRange",
        "the namespace's LimitRange refuses what resources.{task} asks for",
    ),
    (
        r"serviceaccount .* not found|service account .* not found",
        "the account is missing in the run's namespace: see --service-account",
    ),
    (
        r"ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull",
        "the image cannot be pulled: push it (make images), or name its secret in "
        "resources.{task}.image_pull_secrets",
    ),
    (
        r"secret .* not found|configmap .* not found",
        "it is missing in the run's namespace: see resources.{task}.secret_env",
    ),
    (
        r"persistentvolumeclaim .* not found|unbound immediate PersistentVolumeClaims",
        "the claim is missing or unbound in the run's namespace: see resources.{task}.volumes",
    ),
    (
        r"Insufficient|didn't match Pod's node|untolerated taint|Unschedulable",
        "no node has room for it: see cpu, memory, gpu, node_selector and tolerations in resources.{task}",
    ),
    (
        r"DeadlineExceeded|active on the node longer than the specified deadline",
        "it took longer than resources.{task}.timeout_s",
    ),
    (
        r"pod deleted|node .*(lost|shutdown|terminat|preempt)|Preempted|NodeShutdown",
        "its pod or node was taken away, which a repetition mends: see resources.{task}.retries",
    ),
)
"""Pattern in Argo's message -> what to do. The first that matches holds."""
_WAITING = re.compile(r"Unschedulable|Insufficient|ErrImage|ImagePullBackOff|InvalidImageName|not found")


def advice(task: str, state: TaskState) -> str:
    """What to do about Argo's message on a task; "" where the message says nothing that we know."""
    for pattern, text in _ADVICE:
        if re.search(pattern, state.message, flags=re.IGNORECASE):
            return text.format(task=task, limit=f" of {state.memory}" if state.memory else "")
    return ""


def reason(task: str, state: TaskState, said: str = "") -> str:
    """One line: Argo's message, the stage's own, and what to do; "" if nothing is known.

    Args:
        task: e.g. `sft_1_domain`.
        state: of a task that failed, or waits.
        said: the stage's own last line (`last_line`), "" if it could not be read.
    """
    return "; ".join(_one_line(part) for part in (state.message, said, advice(task, state)) if part)


def waiting(task: str, state: TaskState) -> str:
    """Why a task that has not ended waits, where somebody has to do something about it; else ""."""
    stuck = state.state in ("PENDING", "RUNNING") and _WAITING.search(state.message)
    return reason(task, state) if stuck else ""


def last_line(lines: Iterable[str]) -> str:
    """The message of a stage's last log line about an error, or of its last log line; "" if it wrote none.

    Args:
        lines: the log of its pod, in which Argo, Kubeflow's launcher and libraries write too.
    """
    last = error = ""
    for line in lines:
        try:
            found = json.loads(line) if line.startswith("{") else None
        except ValueError:
            continue
        if isinstance(found, dict) and "stage" in found and "message" in found:
            last = str(found["message"])
            error = last if found.get("level") in ("error", "critical") else error
    # A traceback's last line is the error.
    return (error or last).strip().rpartition("\n")[2]


def retries_note(workflow: Workflow) -> str:
    """Which failures of a run are repeated, where its tasks ask for repetitions; "" where they do not."""
    if not workflow.asks_for_retries:
        return ""
    policy = workflow.retry_policy
    if policy in REPEATS_FAILURES:
        lost = "" if policy == "Always" else ", and not pods that were deleted"
        return f"retries: attempts that failed are repeated{lost} (retryPolicy {policy})"
    return (
        "retries: attempts that failed, also for memory, are NOT repeated, only pods that were lost "
        f"(retryPolicy {policy} of this Kubeflow); its administrator can change that: docs/kubeflow.md"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
