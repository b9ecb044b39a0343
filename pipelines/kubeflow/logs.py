"""The log of a task's pod, from the Kubernetes API. Kubeflow's own API has no logs.

Pods of a run carry the label `pipeline/runid`. Argo's annotation with the name of a pod's node names the
task: `<workflow>.root.<task>.executor`, with the number of the attempt in brackets where attempts are
repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import urllib3
from kubernetes import client, config

from components.core.stage.errors import ConfigError, EndpointError, NoInputError

_NODE_ANNOTATION = "workflows.argoproj.io/node-name"


def lines(run_id: str, task: str, namespace: str, follow: bool = False, tail: int = 0) -> Iterator[str]:
    """The log of the latest attempt of a task, line by line.

    Args:
        run_id: id of the run.
        task: e.g. `sft_1_domain`.
        namespace: of the run; "" is where a Kubeflow for a single user runs everything.
        follow: go on until the pod ends.
        tail: only so many lines from the end; 0 is all.

    Raises:
        ConfigError: no access to the Kubernetes API, or none to pods' logs.
        NoInputError: the task has no pod.
        EndpointError: the API is in trouble.
    """
    namespace = namespace or "kubeflow"
    node = re.compile(rf"\.{re.escape(task.replace('_', '-'))}\.executor(\(\d+\))?$")
    _configure()
    api = client.CoreV1Api()
    try:
        pods = api.list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run_id}").items
        named = ((pod.metadata, (pod.metadata.annotations or {}).get(_NODE_ANNOTATION, "")) for pod in pods)
        attempts = [pod for pod, name in named if node.search(name)]
        if not attempts:
            raise NoInputError(
                f"{task} of run {run_id} has no pod in namespace {namespace}: it has not begun, came from "
                "the cache, or its pod was removed; see --namespace, and Kubeflow's page of the run for "
                "archived logs"
            )
        latest = max(attempts, key=lambda pod: str(pod.creation_timestamp))
        wanted = {"container": "main", "follow": follow} | ({"tail_lines": tail} if tail else {})
        stream = api.read_namespaced_pod_log(latest.name, namespace, _preload_content=False, **wanted)
        yield from _text_lines(stream)
    except client.ApiException as error:
        raise _in_plain_words(error, namespace) from error
    except urllib3.exceptions.HTTPError as error:
        raise EndpointError(f"the Kubernetes API is not reachable ({error}); see KUBECONFIG") from error


def _configure() -> None:
    """Access to the Kubernetes API as kubectl has it, or in a pod as the pod has it."""
    try:
        config.load_kube_config()
    except (config.ConfigException, OSError) as missing:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            raise ConfigError(f"no access to the Kubernetes API ({missing}): set KUBECONFIG") from missing


def _text_lines(stream: Any) -> Iterator[str]:
    rest = b""
    for chunk in stream.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")


def _in_plain_words(error: client.ApiException, namespace: str) -> Exception:
    if error.status in (401, 403):
        return ConfigError(
            f"Kubernetes refuses ({error.status}): you need to list pods and read their logs in {namespace}"
        )
    if error.status in (400, 404):
        return NoInputError(f"the pod has no log yet, or no more ({error.status})")
    return EndpointError(f"Kubernetes answered {error.status} {error.reason}")
