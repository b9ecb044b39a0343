"""The size of a run's Argo workflow at its end, as the cluster makes it of a compiled pipeline.

Argo keeps every value that passes between templates in `status.nodes`. What a driver is told stands in two
nodes (the attempt and its retry). What it answers stands in those two and, for a container, in four more. A
pod's patch holds the launcher's command with the executor input and the component, then the arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

RUN = "vlm-post-training/3fdbc0cd-0d58-4af4-8ab4-5df5890c5119"
_STORE = (
    '{"Provider":"minio","Params":{"accessKeyKey":"accesskey","disableSSL":"true",'
    '"endpoint":"seaweedfs.kubeflow:9000","fromEnv":"false","maxRetries":"5","region":"minio",'
    '"secretKeyKey":"secretkey","secretName":"mlpipeline-minio-artifact"}}'
)
_LAUNCHER = 480
"""Bytes of the launcher's command beside the executor input and the component."""
_NODE, _CONTAINER_NODE = 640, 220
"""Bytes of a node beside its parameters; of a container's node, the artifact of its log on top."""
_DIGEST, _REFERENCE = "0" * 64, 100
"""A digest; bytes of a pinned reference."""
_TEMPLATES, _TEMPLATE = 12_000, 1_200
"""Bytes of the templates that every workflow has, and of those of a task beside its statement."""


def workflow_bytes(spec: Mapping[str, Any], platform: Mapping[str, Any], settings: bool = True) -> int:
    """Bytes of the whole workflow as JSON, nothing compressed.

    Args:
        spec: the pipeline, KFP's PipelineSpec.
        platform: its pods' settings, KFP's PlatformSpec.
        settings: whether parameters have values; without, what Kubeflow and Argo need of themselves.
    """
    pods = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    values = {name: one.get("defaultValue", "") if settings else "" for name, one in parameters.items()}
    root, runtime = _quoted(spec["root"]), _quoted({"parameterValues": values})
    nodes = 4 * _NODE + 2 * (root + runtime)
    stated = root + runtime + _TEMPLATES
    components: dict[str, int] = {}
    for component, name, task, given in _tasks(spec, spec["root"], values):
        told = _quoted(component) + _quoted(task)
        stated += _TEMPLATE + _quoted(task)
        if "dag" in component:
            nodes += 4 * _NODE + 2 * told
            stated += _quoted(component)
            continue
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        own = _quoted(container) + _quoted(pods.get(component["executorLabel"], {}))
        components[json.dumps(container)] = own + _quoted(component)
        nodes += task_bytes(component, name, task, container, pods.get(component["executorLabel"], {}), given)
    return nodes + stated + sum(components.values())


def task_bytes(
    component: Mapping[str, Any],
    name: str,
    task: Mapping[str, Any],
    container: Mapping[str, Any],
    settings: Mapping[str, Any],
    values: Mapping[str, Any],
) -> int:
    """Bytes of the six nodes of a task that runs a container."""
    patch = _quoted(pod_patch(component, name, container, settings, values))
    told = sum(_quoted(part) for part in (component, task, container, settings))
    return 2 * (_NODE + told) + 4 * (_NODE + _CONTAINER_NODE) + 6 * patch


def _tasks(
    spec: Mapping[str, Any], graph: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any], dict[str, Any]]]:
    """Component, name, statement and parameters of every task, sub-graphs included."""
    for name, task in graph["dag"]["tasks"].items():
        component = spec["components"][task["componentRef"]["name"]]
        values: dict[str, Any] = {}
        for parameter, source in task.get("inputs", {}).get("parameters", {}).items():
            values[parameter] = (
                given[source["componentInputParameter"]]
                if "componentInputParameter" in source
                else source.get("runtimeValue", {}).get("constant", "r" * _REFERENCE)
            )
        yield component, name, task, values
        if "dag" in component:
            yield from _tasks(spec, component, values)


def pod_patch(
    component: Mapping[str, Any],
    name: str,
    container: Mapping[str, Any],
    settings: Mapping[str, Any],
    values: Mapping[str, Any],
) -> str:
    """The patch of a pod that a driver answers."""
    folder = f"minio://mlpipeline/v2/artifacts/{RUN}/{name}/22101cfe-48ce-4bc6-83f7-b504ee482c35"

    def artifact(artifact: str, kind: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
        listed = {"name": artifact, "type": kind, "uri": f"{folder}/{artifact}", "metadata": metadata}
        return {"artifacts": [{key: value for key, value in listed.items() if value}]}

    read = {"sha256": _DIGEST, "store_session_info": _STORE}
    inputs = component.get("inputDefinitions", {}).get("artifacts", {})
    outputs = component["outputDefinitions"]
    made = {key: one["artifactType"] for key, one in outputs["artifacts"].items()}
    made["executor-logs"] = {"schemaTitle": "system.Artifact"}
    executor_input = {
        "inputs": {
            "artifacts": {
                key: artifact(key, {"instanceSchema": ""}, {"display_name": key, **read}) for key in inputs
            },
            "parameterValues": dict(values),
        },
        "outputs": {
            "artifacts": {key: artifact(key, kind, {}) for key, kind in made.items()},
            "parameters": {
                key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in outputs.get("parameters", {})
            },
            "outputFile": f"{folder}/output_metadata.json",
        },
    }
    arguments = [_resolved(argument, values) for argument in container.get("args", [])]
    mounts = settings.get("pvcMount", [])
    claims = [{"name": m["constant"], "persistentVolumeClaim": {"claimName": m["constant"]}} for m in mounts]
    return json.dumps(
        {
            "volumes": claims,
            "containers": [
                {
                    "name": "main",
                    "image": container["image"],
                    "command": ["." * _LAUNCHER, json.dumps(executor_input), json.dumps(component)],
                    "args": [*container["command"], *arguments],
                    "env": container.get("env", []),
                    "resources": {"limits": {"cpu": "1", "memory": "4G"}},
                    "volumeMounts": [{"name": m["constant"], "mountPath": m["mountPath"]} for m in mounts],
                }
            ],
        }
    )


def _resolved(argument: str, values: Mapping[str, Any]) -> str:
    """An argument with the parameter that it stands for, as a driver fills it in."""
    for name, value in values.items():
        if argument == f"{{{{$.inputs.parameters['{name}']}}}}":
            return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return argument


def _quoted(value: Any) -> int:
    """Bytes of a value as a JSON string within JSON."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return len(json.dumps(text))
