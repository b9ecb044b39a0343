"""Runs: start one, follow it to its end, ask for its state, have its failed tasks tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from components.core.stage.errors import StageError
from components.stages import TASKS
from pipelines.graph.components import task_name
from pipelines.kubeflow.client import Kubeflow, OutageError, explained

FINISHED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_OMITTED = "RUNTIME_STATE_UNSPECIFIED"
"""The API's state of a task that Argo left out because one before it failed or was skipped."""


class RunFailed(StageError):
    """A run on the cluster failed (exit code 1) or was canceled (exit code 3)."""


def start(
    kubeflow: Kubeflow, version: Mapping[str, str], name: str, service_account: str, experiment: str = ""
) -> str:
    """Start a run of a version (`Kubeflow.version`), with the version's own settings; its id."""
    made = kubeflow.client.run_pipeline(
        experiment or kubeflow.experiment(), name, service_account=service_account or None, **version
    )
    return str(made.run_id)


def get(kubeflow: Kubeflow, run_id: str) -> Any:
    """A run as the API has it.

    Raises:
        NoInputError: there is none of this id.
    """
    with explained(f"a run {run_id}"):
        return kubeflow.client.get_run(run_id)


def retry(kubeflow: Kubeflow, run_id: str) -> None:
    """Kubeflow's Retry: unfinished tasks run again as they were compiled then; finished ones are kept."""
    with explained(f"a run {run_id}"):
        kubeflow.client._run_api.run_service_retry_run(run_id=run_id)


def task_states(run: Any) -> dict[str, str]:
    """Task -> state, of those of our tasks that have begun, in the order of the pipeline.

    Kubeflow lists every node of its workflow: drivers, pods and tasks. Only tasks carry the tasks' names.
    """
    nodes = sorted(_nodes(run), key=lambda named: str(named[1].create_time or ""))
    found = {task: str(node.state) for task, node in nodes if node.state not in (None, _OMITTED)}
    return {task: found[task] for task in TASKS if task in found}


def task_errors(run: Any) -> dict[str, str]:
    """Task -> message, of the tasks whose node carries one."""
    return {task: str(node.error.message) for task, node in _nodes(run) if node.error and node.error.message}


def _nodes(run: Any) -> list[tuple[str, Any]]:
    """The nodes of a run that have a name, under the name that a task has here."""
    found = (run.run_details.task_details if run.run_details else None) or []
    return [(task_name(node.display_name), node) for node in found if node.display_name]


def follow(kubeflow: Kubeflow, run_id: str, say: Callable[[str], None], poll_s: float = 10.0) -> None:
    """Tell every change of a task's state until the run has finished; outages of the API are waited out.

    Raises:
        RunFailed: it failed or was canceled.
        EndpointError: the API has not answered for five minutes.
    """
    patiently = Retrying(
        retry=retry_if_exception_type(OutageError),
        stop=stop_after_delay(300),
        wait=wait_fixed(poll_s),
        reraise=True,
    )
    told: dict[str, str] = {}
    while True:
        run = patiently(get, kubeflow, run_id)
        for task, state in task_states(run).items():
            if told.get(task) != state:
                told[task] = state
                say(f"{TASKS.index(task) + 1:2d}/{len(TASKS)} {task}: {state.lower()}")
        if run.state in FINISHED:
            break
        time.sleep(poll_s)
    if run.state in ("FAILED", "CANCELED"):
        raise _failure(run)
    say(f"run {run.run_id}: {run.state.lower()}")


def _failure(run: Any) -> RunFailed:
    messages = task_errors(run)
    failed = [task for task, state in task_states(run).items() if state == "FAILED"]
    text = f"run {run.run_id} {run.state.lower()}"
    if failed:
        named = (f"{task} ({messages[task]})" if task in messages else task for task in failed)
        text += f": {', '.join(named)}; see: vlm-posttrain logs {run.run_id} {failed[0]}"
        text += f"; again: vlm-posttrain rerun {run.run_id} --from {failed[0]} --profile PROFILE"
    failure = RunFailed(text)
    failure.exit_code = 1 if run.state == "FAILED" else 3
    return failure
