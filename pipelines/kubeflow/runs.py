"""Runs: start one, follow it to its end, ask for its state, have its failed tasks tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import kfp_server_api
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from components.core.stage.errors import StageError
from components.stages import TASKS
from pipelines.graph.compiled import Compiled
from pipelines.graph.components import task_name
from pipelines.kubeflow import reasons
from pipelines.kubeflow.client import Kubeflow, OutageError, explained
from pipelines.kubeflow.gone import why_gone
from pipelines.kubeflow.workflow import TaskState, Workflow

FINISHED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_OMITTED = "RUNTIME_STATE_UNSPECIFIED"
"""The API's state of a task that Argo left out because one before it failed or was skipped."""
_RACE_S = 2.0
"""Until Kubeflow is asked for a Retry again, after it and Argo changed a workflow at the same moment."""
_LONGEST_NAME = 120


class RunFailed(StageError):
    """A run on the cluster failed (exit code 1) or was canceled (exit code 3)."""


@dataclass(frozen=True)
class Seen:
    """A run at one moment."""

    run: Any
    """As the API has it."""
    workflow: Workflow | None
    """Its workflow; None where this Kubeflow does not tell."""

    @cached_property
    def tasks(self) -> Mapping[str, TaskState]:
        """Task -> state, of those of our tasks that have begun, in the order of the pipeline.

        The workflow knows more: the API's own list stands still once Argo compresses the workflow's nodes.
        """
        if self.workflow and self.workflow.nodes:
            return self.workflow.tasks
        details = (self.run.run_details.task_details if self.run.run_details else None) or []
        named = [(task_name(node.display_name), node) for node in details if node.display_name]
        found = {
            task: TaskState(str(node.state), str((node.error and node.error.message) or ""))
            for task, node in sorted(named, key=lambda pair: str(pair[1].create_time or ""))
            if node.state not in (None, _OMITTED)
        }
        return {task: found[task] for task in TASKS if task in found}

    @property
    def under_way(self) -> bool:
        return self.run.state not in FINISHED


def titled(name: str, changed: Iterable[str]) -> str:
    """Name of a run: the profile's and what was set, `smoke · sft_2_restore.max_steps=5`."""
    title = " · ".join(" ".join(part.split()) for part in (name, *changed))
    return title if len(title) <= _LONGEST_NAME else f"{title[: _LONGEST_NAME - 1]}…"


def settings_of(compiled: Compiled) -> dict[str, Any]:
    """The settings of a compiled pipeline as a run of it is given them: parameter -> its default."""
    inputs = compiled.spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {name: given["defaultValue"] for name, given in inputs.items() if "defaultValue" in given}


def start(
    kubeflow: Kubeflow,
    version: Mapping[str, str],
    name: str,
    service_account: str,
    parameters: Mapping[str, Any],
    experiment: str = "",
) -> str:
    """Start a run of a version (`Kubeflow.version`); its id.

    `parameters` are the version's own (`settings_of`): Kubeflow's pages show and compare those alone that
    come with a run.
    """
    made = kubeflow.client.run_pipeline(
        experiment or kubeflow.experiment(),
        name,
        params=dict(parameters),
        service_account=service_account or None,
        **version,
    )
    return str(made.run_id)


def look(kubeflow: Kubeflow, run_id: str) -> Seen:
    """A run as it is now.

    Raises:
        NoInputError: there is none of this id.
    """
    with explained(f"a run {run_id}"):
        run = kubeflow.client.get_run(run_id)
        return Seen(run, kubeflow.workflow(run_id))


def gone(kubeflow: Kubeflow, seen: Seen) -> str:
    """How we know that the workflow of an unfinished run is gone (`why_gone`); "" if we do not."""
    if not seen.under_way:
        return ""
    with explained():
        return why_gone(kubeflow, seen.run, seen.workflow)


def retry(kubeflow: Kubeflow, run_id: str) -> None:
    """Kubeflow's Retry: unfinished tasks run again as they were compiled then; finished ones are kept.

    Kubeflow answers 500 where Argo changed the workflow meanwhile. Then it is asked once more, unless the
    run is under way after all.
    """
    with explained(f"a run {run_id}"):
        try:
            kubeflow.client._run_api.run_service_retry_run(run_id=run_id)
        except kfp_server_api.ApiException as error:
            if error.status < 500:
                raise
            time.sleep(_RACE_S)
            if kubeflow.client.get_run(run_id).state in FINISHED:
                kubeflow.client._run_api.run_service_retry_run(run_id=run_id)


def described(state: TaskState) -> str:
    """A task's state in a word, with `from the cache` where it is."""
    return f"{state.state.lower()}{' (from the cache)' if state.cached else ''}"


def follow(kubeflow: Kubeflow, run_id: str, say: Callable[[str], None], poll_s: float = 10.0) -> None:
    """Tell every change of a task's state until the run has finished; outages of the API are waited out.

    Raises:
        RunFailed: it failed or was canceled, or its workflow is gone.
        EndpointError: the API has not answered for five minutes.
    """
    patiently = Retrying(
        retry=retry_if_exception_type(OutageError),
        stop=stop_after_delay(300),
        wait=wait_fixed(poll_s),
        reraise=True,
    )
    told: dict[str, str] = {}
    noted = False
    while True:
        seen = patiently(look, kubeflow, run_id)
        if seen.workflow and not noted:
            noted = True
            if note := reasons.retries_note(seen.workflow):
                say(note)
        lines = {task: _line(task, state) for task, state in seen.tasks.items()}
        news = [task for task, line in lines.items() if told.get(task) != line]
        for task in news:
            say(f"{TASKS.index(task) + 1:2d}/{len(TASKS)} {task}: {lines[task]}")
        told |= lines
        if not seen.under_way:
            break
        if not news and (why := patiently(gone, kubeflow, seen)):
            raise RunFailed(gone_text(seen, why))
        time.sleep(poll_s)
    if seen.run.state in ("FAILED", "CANCELED"):
        raise _failure(kubeflow, seen)
    say(f"run {run_id}: {seen.run.state.lower()}")


def _line(task: str, state: TaskState) -> str:
    why = reasons.waiting(task, state)
    return f"{described(state)}{f' ({why})' if why else ''}"


def failures(kubeflow: Kubeflow, seen: Seen) -> dict[str, str]:
    """Task that failed -> why, in one line; "" where nobody knows."""
    from pipelines.kubeflow.logs import last_words  # the Kubernetes client takes a second to load

    run_id, namespace = str(seen.run.run_id), (seen.workflow and seen.workflow.namespace) or kubeflow.pods
    return {
        task: reasons.reason(task, state, last_words(run_id, task, namespace, seen.workflow))
        for task, state in seen.tasks.items()
        if state.state == "FAILED"
    }


def gone_text(seen: Seen, why: str) -> str:
    """That a run's workflow is gone, how we know, and how to go on."""
    run, called = seen.run, str(seen.run.state or "pending").lower()
    left = [task for task in TASKS if task not in seen.tasks or seen.tasks[task].state != "SUCCEEDED"]
    return (
        f"run {run.run_id}: its workflow is gone, though Kubeflow calls it {called}: {why}; "
        f"again, with finished tasks from the cache: {_again(run, left[0] if left else TASKS[-1])}"
    )


def _again(run: Any, task: str) -> str:
    return f"vlm-posttrain rerun {run.run_id} --from {task} --profile PROFILE"


def _failure(kubeflow: Kubeflow, seen: Seen) -> RunFailed:
    run, why = seen.run, failures(kubeflow, seen)
    text = f"run {run.run_id} {run.state.lower()}"
    if why:
        first = next(iter(why))
        text += f": {', '.join(f'{task} ({reason})' if reason else task for task, reason in why.items())}"
        text += f"; see: vlm-posttrain logs {run.run_id} {first}; again: {_again(run, first)}"
    elif seen.workflow and seen.workflow.problems:
        text += f": {'; '.join(f'{name}: {said}' for name, said in seen.workflow.problems.items())}"
    failure = RunFailed(text)
    failure.exit_code = 1 if run.state == "FAILED" else 3
    return failure
