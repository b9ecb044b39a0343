"""The Kubernetes API, as far as runs need it: their pods, their pods' logs, and whether a workflow is there.

Pods and workflows of a run carry the label `pipeline/runid`. Argo's annotation with the name of a pod's node
names the task (`pipelines/kubeflow/workflow.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import urllib3
from kubernetes import client, config

from components.core.stage.errors import ConfigError, EndpointError, NoInputError
from pipelines.kubeflow.workflow import is_executor_of

RUN_LABEL = "pipeline/runid"
_NODE_ANNOTATION = "workflows.argoproj.io/node-name"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Workflows may have a mebibyte each; their labels are enough."""
_TIMEOUT_S = 10


def latest_pod(run_id: str, task: str, namespace: str) -> str | None:
    """Name of the pod of the latest attempt of a task; None if there is none, or none any more.

    Raises:
        ConfigError: no access to the Kubernetes API, or none to pods.
        EndpointError: the API is in trouble.
    """
    with explained(namespace):
        api = client.CoreV1Api(access())
        pods = api.list_namespaced_pod(namespace, label_selector=f"{RUN_LABEL}={run_id}").items
    named = ((pod.metadata, (pod.metadata.annotations or {}).get(_NODE_ANNOTATION, "")) for pod in pods)
    attempts = [pod for pod, name in named if is_executor_of(name, task)]
    latest = max(attempts, key=lambda pod: str(pod.creation_timestamp), default=None)
    return str(latest.name) if latest else None


def log(pod: str, namespace: str, follow: bool = False, tail: int = 0) -> Iterator[str]:
    """What the main container of a pod wrote, line by line.

    Args:
        pod: its name.
        namespace: of the pod.
        follow: go on until the pod ends.
        tail: only so many lines from the end; 0 is all.

    Raises:
        ConfigError: no access to pods' logs.
        NoInputError: the pod has no log yet, or no more.
        EndpointError: the API is in trouble.
    """
    wanted = {"container": "main", "follow": follow} | ({"tail_lines": tail} if tail else {})
    with explained(namespace):
        api = client.CoreV1Api(access())
        yield from _text_lines(api.read_namespaced_pod_log(pod, namespace, _preload_content=False, **wanted))


def runs_with_workflow(namespace: str) -> set[str] | None:
    """Ids of the runs of which a workflow is in the namespace; None if Kubernetes does not tell us."""
    with contextlib.suppress(ConfigError, client.ApiException, urllib3.exceptions.HTTPError):
        found = access().call_api(
            "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows",
            "GET",
            path_params={"namespace": namespace},
            query_params=[("labelSelector", RUN_LABEL)],
            header_params={"Accept": _METADATA_ONLY},
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _request_timeout=_TIMEOUT_S,
        )
        return {item["metadata"]["labels"][RUN_LABEL] for item in found["items"]}
    return None


def access() -> Any:
    """A client of the Kubernetes API with the access that kubectl has, or in a pod with the pod's.

    Raises:
        ConfigError: there is neither.
    """
    configuration = client.Configuration()
    try:
        config.load_kube_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as missing:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            raise ConfigError(f"no access to the Kubernetes API ({missing}): set KUBECONFIG") from missing
    return client.ApiClient(configuration)


@contextlib.contextmanager
def explained(namespace: str) -> Iterator[None]:
    """Errors of the Kubernetes API as errors of ours, with what to do."""
    try:
        yield
    except client.ApiException as error:
        if error.status in (401, 403):
            wanted = f"you need to list pods and read their logs in {namespace}"
            raise ConfigError(f"Kubernetes refuses ({error.status}): {wanted}") from error
        if error.status in (400, 404):
            raise NoInputError(f"the pod has no log yet, or no more ({error.status})") from error
        raise EndpointError(f"Kubernetes answered {error.status} {error.reason}") from error
    except urllib3.exceptions.HTTPError as error:
        raise EndpointError(f"the Kubernetes API is not reachable ({error}); see KUBECONFIG") from error


def _text_lines(stream: Any) -> Iterator[str]:
    rest = b""
    for chunk in stream.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")
