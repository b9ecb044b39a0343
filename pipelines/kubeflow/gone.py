"""Runs whose workflow is gone: Kubeflow goes on saying that they run, for ever, and cannot end them.

A workflow that a schedule started belongs to it. Deleting the schedule deletes the workflow and its pods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kfp_server_api

from pipelines.kubeflow.client import Kubeflow
from pipelines.kubeflow.workflow import Workflow

_COMPARED = 3
"""So many other runs are looked up to be sure that Kubernetes and Kubeflow are of one cluster."""


def why_gone(kubeflow: Kubeflow, run: Any, workflow: Workflow | None) -> str:
    """How we know that the workflow of an unfinished run is gone; "" if it is there, or nobody can tell.

    Args:
        kubeflow: where the run is.
        run: as the API has it, under way by its state.
        workflow: of the run, if known.

    Raises:
        kfp_server_api.ApiException: Kubeflow is in trouble.
    """
    if run.recurring_run_id and not _there(kubeflow.client.get_recurring_run, run.recurring_run_id):
        return "the schedule that started it was deleted, and its workflow and pods with it"
    from pipelines.kubeflow import cluster  # the Kubernetes client takes a second to load

    namespace = (workflow.namespace if workflow else "") or kubeflow.pods
    there = cluster.runs_with_workflow(namespace)
    if there is None or run.run_id in there:
        return ""
    if not any(_there(kubeflow.client.get_run, other) for other in sorted(there)[:_COMPARED]):
        return ""  # KUBECONFIG may name another cluster
    return f"Kubernetes has no workflow of it in namespace {namespace}: it was deleted"


def _there(get: Callable[[str], object], identifier: str) -> bool:
    try:
        get(identifier)
    except kfp_server_api.ApiException as error:
        if error.status == 404:
            return False
        raise
    return True
