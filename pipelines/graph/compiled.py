"""A compiled pipeline as data: its tasks and their order, parts of Kubeflow's cache key, version's name."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions
from kfp.pipeline_spec import pipeline_spec_pb2

from components.core.data.hashing import canonical_json, sha256_hex
from components.stages import TASKS
from pipelines.graph.components import task_name
from pipelines.graph.flat import Task, found_tasks
from pipelines.graph.post_training import NAME, compile_pipeline, post_training
from pipelines.profile.run_profile import Profile

# libyaml's, ten times as fast, where PyYAML was built with it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Compiled:
    """The two documents of a compiled pipeline. Tasks are called as everywhere else here, `sft_1_domain`."""

    spec: Mapping[str, Any]
    """Tasks, components, containers: KFP's PipelineSpec."""
    platform: Mapping[str, Any]
    """The pods' settings, KFP's PlatformSpec; empty if there are none."""

    @classmethod
    def read(cls, ir: Path) -> Compiled:
        """A file that `compile_pipeline` wrote."""
        spec, *platform = yaml.load_all(ir.read_text(encoding="utf-8"), _Loader)
        return cls(spec, platform[0] if platform else {})

    @classmethod
    def received(cls, document: Mapping[str, Any]) -> Compiled:
        """The `pipeline_spec` in an answer of Kubeflow's API: one document, or both under their names."""
        return cls(document.get("pipeline_spec", document), document.get("platform_spec") or {})

    def same_as(self, other: Compiled) -> bool:
        """Whether both mean the same, however a server wrote numbers, durations and defaults."""
        return self._messages() == other._messages()

    def _messages(self) -> tuple[Any, Any]:
        spec, platform = pipeline_spec_pb2.PipelineSpec(), pipeline_spec_pb2.PlatformSpec()
        json_format.ParseDict(dict(self.spec), spec, ignore_unknown_fields=True)
        json_format.ParseDict(dict(self.platform), platform, ignore_unknown_fields=True)
        return spec, platform

    def write(self, ir: Path) -> Path:
        """As a file to upload."""
        documents = [self.spec, *([self.platform] if self.platform else [])]
        ir.write_text(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True), encoding="utf-8")
        return ir

    @property
    def order(self) -> list[str]:
        """Every task after those it needs: the order of the pipeline, if it has the tasks of today's."""
        if set(self._tasks) == set(TASKS):
            return list(TASKS)
        needs = {name: sorted(self.needs(name)) for name in sorted(self._tasks)}
        return list(TopologicalSorter(needs).static_order())

    @property
    def _tasks(self) -> dict[str, Task]:
        return dict(found_tasks(self.spec))

    def needs(self, task: str) -> set[str]:
        """The tasks whose outputs this one reads."""
        return self._tasks[task].makers

    def followers(self, task: str) -> set[str]:
        """The task and everything that depends on it."""
        found = {task}
        for name in self.order:
            if self.needs(name) & found:
                found.add(name)
        return found

    def is_cached(self, task: str) -> bool:
        """Whether the task may be answered from the cache."""
        return bool(self._tasks[task].stated.get("cachingOptions", {}).get("enableCache"))

    def sources(self, task: str) -> dict[str, str]:
        """Input artifact -> the task that makes it."""
        found = self._tasks[task].artifacts.items()
        return {name: task_name(source["taskOutputArtifact"]["producerTask"]) for name, source in found}

    def key_parts(self, task: str) -> dict[str, Any]:
        """The parts of a task's cache key that come from this file, flat: part -> value.

        Kubeflow hashes input artifacts (by the run of the task that made them), input parameters, outputs,
        command and arguments, image, and names of claims (backend/src/v2/cacheutils). Environment, resources
        and other pod settings are not in it.
        """
        wanted = self._tasks[task]
        component = wanted.component
        label = component["executorLabel"]
        container = self.spec["deploymentSpec"]["executors"][label]["container"]
        pods = self.platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {})
        pod = pods.get("executors", {}).get(label, {})
        defaults = self.spec["root"]["inputDefinitions"]["parameters"]
        parts = {
            "image": container["image"],
            "command": [*container.get("command", []), *container.get("args", [])],
            "outputs": component.get("outputDefinitions", {}),
            "artifacts": dict(wanted.artifacts),
            "claims": sorted({mount.get("constant", "") for mount in pod.get("pvcMount", [])}),
        }
        for name, source in wanted.parameters.items():
            if "componentInputParameter" in source:
                value = defaults[source["componentInputParameter"]].get("defaultValue")
            else:
                value = source.get("runtimeValue", {}).get("constant", source)
            parts |= dict(_flat(name, value))
        return parts

    def with_parameters(self, values: Mapping[str, Any]) -> Compiled:
        """With these pipeline parameters as defaults, as a run that was started with them has it."""
        spec = copy.deepcopy(dict(self.spec))
        for name, value in values.items():
            spec["root"]["inputDefinitions"]["parameters"].setdefault(name, {})["defaultValue"] = value
        return Compiled(spec, self.platform)

    def without_cache(self, tasks: Collection[str]) -> Compiled:
        """With the cache switched off for these tasks: they run, and nothing of them is kept in the cache."""
        spec = copy.deepcopy(dict(self.spec))
        for graph in (spec["root"], *spec["components"].values()):
            for name, task in graph.get("dag", {}).get("tasks", {}).items():
                if task_name(name) in tasks:
                    task["cachingOptions"] = {}
        return Compiled(spec, self.platform)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value


def version_name(ir: Path) -> str:
    """Name of the version that a compiled file becomes: twelve hex digits of its content, however written."""
    found = Compiled.read(ir)
    return sha256_hex(canonical_json([found.spec, found.platform]))[:12]


def compile_manifests(profile: Profile, output: Path, namespace: str = "") -> Path:
    """Write pipeline and version as custom resources, for a Kubeflow that keeps pipelines in Kubernetes.

    Display name and content of the version are those that an upload gives it, so `submit` finds it there.
    """
    with tempfile.TemporaryDirectory() as folder:
        ir = compile_pipeline(profile, Path(folder) / "post_training.yaml")
        version, compiled = version_name(ir), Compiled.read(ir)
    options = KubernetesManifestOptions(
        pipeline_name=NAME,
        pipeline_version_name=f"{NAME}-{version}",
        pipeline_version_display_name=version,
        namespace=namespace or None,
        include_pipeline_manifest=True,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(
        post_training(profile),
        str(output),
        kubernetes_manifest_options=options,
        kubernetes_manifest_format=True,
    )
    documents = list(yaml.load_all(output.read_text(encoding="utf-8"), _Loader))
    # The SDK's own has no conditions (`compile_pipeline`), and the pipeline's name in the version's, unlike
    # an upload.
    documents[-1]["spec"] |= {"pipelineSpec": compiled.spec, "versionName": version}
    output.write_text(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True), encoding="utf-8")
    return output
