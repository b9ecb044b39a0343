"""Serving in a cluster: a pod fetches one version, a watcher rolls over when the pointer moves.

    fetch   before the server starts: the version that the pod's annotation names, or the current one
    watch   beside the server: writes the current version into the annotation of the Deployment's pods

A changed annotation makes Kubernetes start a pod of the new version, wait until it is ready, and end the old
one. So the watcher needs two rights on one object: to read it, and to patch it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from components.core.data.files import atomic_file
from components.core.registry import DomainRegistry
from components.core.stage.errors import EndpointError, NoInputError, StageError
from pipelines.serving.targets import usable

ANNOTATION = "vlm-posttrain/version"
"""Of the pods: the number of the version that they serve."""
VERSION_FILE = "version"
"""Beside the fetched checkpoint: its number."""


class Deployments(Protocol):
    """What the watcher needs of Kubernetes."""

    def version(self) -> str:
        """The annotation of the pods that are wanted; "" without one."""

    def roll_to(self, version: str) -> None:
        """Want pods with this annotation."""


class KubernetesObject:
    """A Deployment, or an InferenceService of KServe, in the pod's own namespace.

    Raises:
        EndpointError: Kubernetes does not answer, or refuses.
    """

    _PLACES = {
        "Deployment": ("apps", "v1", "deployments", ("spec", "template", "metadata", "annotations")),
        "InferenceService": (
            "serving.kserve.io", "v1beta1", "inferenceservices", ("spec", "predictor", "annotations"),
        ),
    }  # fmt: skip

    def __init__(self, kind: str, name: str, namespace: str) -> None:
        from kubernetes import client, config

        try:
            config.load_incluster_config()
        except config.ConfigException as error:
            raise EndpointError(f"no account of a cluster here ({error}); this runs in a pod") from error
        group, version, plural, self._path = self._PLACES[kind]
        self._api: Any = client.CustomObjectsApi()
        self._object = {
            "group": group, "version": version, "namespace": namespace, "plural": plural, "name": name,
        }  # fmt: skip

    def version(self) -> str:
        """The annotation of the pods that are wanted; "" without one."""
        found = self._asked(self._api.get_namespaced_custom_object, **self._object)
        for key in self._path:
            found = found.get(key) or {}
        return str(found.get(ANNOTATION, ""))

    def roll_to(self, version: str) -> None:
        """Want pods with this annotation."""
        body: dict[str, Any] = {ANNOTATION: version}
        for key in reversed(self._path):
            body = {key: body}
        self._asked(self._api.patch_namespaced_custom_object, **self._object, body=body)

    @staticmethod
    def _asked(call: Callable[..., Any], **arguments: Any) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call(**arguments, _request_timeout=30)
        except (ApiException, HTTPError) as error:
            raise EndpointError(f"Kubernetes: {getattr(error, 'reason', '') or error!r}") from error


def fetch(registry: DomainRegistry, wanted: str, folder: Path) -> int:
    """Copy a version's checkpoint to `folder`/checkpoint, checked, and its number beside it.

    Args:
        registry: of one domain.
        wanted: the version's number; "" for the current one.
        folder: where to.

    Raises:
        NoInputError: there is no such version, or none is current.
    """
    number = int(wanted) if wanted else registry.pointer().version
    if not number:
        raise NoInputError(f"{registry.uri}: no version is current; promote one first")
    registry.fetch(registry.version(number), folder, under="checkpoint/")
    usable(folder / "checkpoint")
    with atomic_file(folder / VERSION_FILE) as fresh:
        fresh.write_text(str(number), encoding="utf-8")
    return number


def watch(
    registry: DomainRegistry,
    deployments: Deployments,
    served: str,
    say: Callable[[str], None],
    *,
    every_s: float,
    looks: int | None = None,
) -> None:
    """Roll over whenever the pointer names another version than the pods that are wanted.

    A store or a cluster that does not answer is asked again; the fault is said once.

    Args:
        registry: whose pointer is followed.
        deployments: what is rolled over.
        served: the version of this pod, which pods without an annotation serve.
        say: tells what happens.
        every_s: seconds between two looks.
        looks: how many looks; None for ever.
    """
    fault = ""
    while looks is None or looks > 0:
        looks = None if looks is None else looks - 1
        try:
            current = str(registry.pointer().version or "")
            wanted = deployments.version() or served
            if current and current != wanted:
                deployments.roll_to(current)
                say(f"rolling over from version {wanted} to {current}")
            fault = ""
        except StageError as error:
            if str(error) != fault:
                fault = str(error)
                say(f"error: {fault}; looking again in {every_s:.0f} s")
        if looks != 0:
            time.sleep(every_s)
