"""The tasks of a compiled pipeline as if it had no sub-graphs: what each reads, traced to who makes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.graph.components import task_name

_KINDS = ("artifacts", "parameters")
_OUTPUTS = {"taskOutputArtifact": "outputArtifactKey", "taskOutputParameter": "outputParameterKey"}
Sources = Mapping[str, Mapping[str, Any]]
"""Input -> its source as KFP states it: a task that runs, a parameter of the pipeline, or a constant."""


@dataclass(frozen=True)
class Task:
    """A task that runs a container, in the main graph or in a sub-graph."""

    stated: Mapping[str, Any]
    """As the file states it."""
    component: Mapping[str, Any]
    artifacts: Sources
    parameters: Sources

    @property
    def makers(self) -> set[str]:
        """The tasks whose outputs it reads."""
        sources = [*self.artifacts.values(), *self.parameters.values()]
        made = (s.get("taskOutputArtifact") or s.get("taskOutputParameter") for s in sources)
        return {task_name(found["producerTask"]) for found in made if found}


def found_tasks(spec: Mapping[str, Any]) -> Iterator[tuple[str, Task]]:
    """Every task that runs a container, by its name everywhere else, e.g. `sft_1_domain`."""
    yield from _in_graph(spec, spec["root"], None)


def _in_graph(
    spec: Mapping[str, Any], graph: Mapping[str, Any], given: Mapping[str, Sources] | None
) -> Iterator[tuple[str, Task]]:
    """The tasks below a graph; `given` are the sources of its own inputs, None for the main graph's."""
    components, tasks = spec["components"], graph["dag"]["tasks"]
    for name, stated in tasks.items():
        component = components[stated["componentRef"]["name"]]
        inputs = stated.get("inputs", {})
        sources = {
            kind: {key: _traced(components, tasks, s, given) for key, s in inputs.get(kind, {}).items()}
            for kind in _KINDS
        }
        if "dag" in component:
            yield from _in_graph(spec, component, sources)
        else:
            yield task_name(name), Task(stated, component, sources["artifacts"], sources["parameters"])


def _traced(
    components: Mapping[str, Any],
    tasks: Mapping[str, Any],
    source: Mapping[str, Any],
    given: Mapping[str, Sources] | None,
) -> Mapping[str, Any]:
    """A source with the borders of sub-graphs removed."""
    if given is not None and "componentInputArtifact" in source:
        return given["artifacts"][source["componentInputArtifact"]]
    if given is not None and "componentInputParameter" in source:
        return given["parameters"][source["componentInputParameter"]]
    for kind, key in _OUTPUTS.items():
        made = source.get(kind)
        if made is None or made["producerTask"] not in tasks:
            continue
        component = components[tasks[made["producerTask"]]["componentRef"]["name"]]
        if "dag" not in component:
            continue
        if kind == "taskOutputArtifact":
            (inner,) = component["dag"]["outputs"]["artifacts"][made[key]]["artifactSelectors"]
        else:
            inner = component["dag"]["outputs"]["parameters"][made[key]]["valueFromParameter"]
        below = {kind: {"producerTask": inner["producerSubtask"], key: inner[key]}}
        return _traced(components, component["dag"]["tasks"], below, None)
    return source
