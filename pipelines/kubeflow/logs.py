"""The log of a task: from its pod as long as Kubernetes has it, then from Kubeflow's object store.

Kubeflow's own log endpoint is not asked: with the standard manifests its account may not read pods' logs,
and it looks for archived ones in another place than Argo's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from components.core.objects.s3 import ENDPOINT_ENVS, S3Store
from components.core.stage.errors import ConfigError, EndpointError, NoInputError, StageError
from pipelines.graph.post_training import NAME
from pipelines.kubeflow import cluster
from pipelines.kubeflow.reasons import last_line
from pipelines.kubeflow.workflow import TaskState, Workflow

BUCKET = "mlpipeline"
"""Of Kubeflow's standard manifests; a run's workflow names its own."""
_EXECUTOR_LOG = re.compile(r"/executor-logs-(\d+)$")
_LAST_LINES = 1000


def lines(
    run_id: str,
    task: str,
    namespace: str,
    workflow: Workflow | None = None,
    follow: bool = False,
    tail: int = 0,
) -> Iterator[str]:
    """The log of the latest attempt of a task, line by line.

    Args:
        run_id: id of the run.
        task: e.g. `sft_1_domain`.
        namespace: in which the run's pods are.
        workflow: of the run, which names the archived log; None looks for what the launcher stored.
        follow: go on until the pod ends.
        tail: only so many lines from the end; 0 is all.

    Raises:
        ConfigError: no access to the Kubernetes API or to pods' logs, and none to the object store.
        NoInputError: the task has neither a pod nor an archived log.
        EndpointError: the Kubernetes API is in trouble.
    """
    refused: StageError | None = None
    try:
        pod = cluster.latest_pod(run_id, task, namespace)
    except (ConfigError, EndpointError) as error:
        pod, refused = None, error
    if pod:
        yield from cluster.log(pod, namespace, follow, tail)
        return
    state = workflow.tasks.get(task) if workflow else None
    if not _knows_object_store():
        raise _not_found(run_id, task, namespace, state, refused)
    text = _archived(run_id, task, namespace, state, workflow)
    found = text.decode("utf-8", "replace").splitlines()
    yield from found[-tail:] if tail else found


def last_words(run_id: str, task: str, namespace: str, workflow: Workflow | None) -> str:
    """The message with which a task's stage ended; "" where its log cannot be read."""
    try:
        return last_line(lines(run_id, task, namespace, workflow, tail=_LAST_LINES))
    except StageError:  # a run's failure is told without it
        return ""


def _knows_object_store() -> bool:
    return any(os.environ.get(name) for name in (*ENDPOINT_ENVS, "AWS_ACCESS_KEY_ID"))


def _archived(
    run_id: str, task: str, namespace: str, state: TaskState | None, workflow: Workflow | None
) -> bytes:
    """Argo's archived log of the latest attempt, else what the launcher stored of the stage's output."""
    bucket = (workflow.bucket if workflow else "") or BUCKET
    store = S3Store(bucket)
    if state and state.log_key and store.exists(state.log_key):
        return store.get(state.log_key)
    folder = f"v2/artifacts/{NAME}/{run_id}/{task.replace('_', '-')}/"
    for prefix in (folder, f"private-artifacts/{namespace}/{folder}"):
        found = [(m[1], item.key) for item in store.list(prefix) if (m := _EXECUTOR_LOG.search(item.key))]
        if found:
            return store.get(max(found, key=lambda attempt: int(attempt[0]))[1])
    why = "came from the cache" if state and state.cached else "has not begun, or came from the cache"
    raise NoInputError(f"{task} of run {run_id} has no pod and no log in s3://{bucket}: it {why}")


def _not_found(
    run_id: str, task: str, namespace: str, state: TaskState | None, refused: StageError | None
) -> StageError:
    """What to do where no pod is there and the object store is not known."""
    stored = f"s3://{BUCKET}/{state.log_key}" if state and state.log_key else "Kubeflow's object store"
    advice = f"set {ENDPOINT_ENVS[0]}, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to read {stored}"
    if refused:
        return type(refused)(f"{refused}; or {advice} (docs/kubeflow.md)")
    if state and state.cached:
        return NoInputError(f"{task} of run {run_id} came from the cache: the run that made it has its log")
    return NoInputError(
        f"{task} of run {run_id} has no pod in namespace {namespace}: it has not begun, came from the cache, "
        f"or its pod was removed; see --namespace, or {advice} (docs/kubeflow.md)"
    )
