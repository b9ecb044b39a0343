"""What Kubeflow's page draws of a compiled pipeline: nodes and edges of every view, and their room.

After frontend/src/lib/v2/StaticFlow.ts: a node for each task, for each artifact that a task makes and for
each that the sub-graph is given; edges between them, and between tasks for parameters and dependencies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

NODE, GAP = (224, 48), 50
"""The page's size of a node, and dagre's gap between nodes and between ranks, in pixels."""


class View(NamedTuple):
    """One drawing of the page."""

    nodes: list[str]
    edges: list[tuple[str, str]]

    @property
    def room(self) -> tuple[int, int]:
        """Width and height at full size, in pixels: the fullest rank, and the number of ranks.

        A node stands one rank below the lowest it depends on, or just above its first reader where nothing is
        above it.
        """
        above = {node: {source for source, target in self.edges if target == node} for node in self.nodes}
        below = {node: {target for source, target in self.edges if source == node} for node in self.nodes}
        rank: dict[str, int] = {}
        for node in TopologicalSorter(above).static_order():
            rank[node] = max((rank[source] + 1 for source in above[node]), default=0)
        for node in self.nodes:
            if not above[node] and below[node]:
                rank[node] = min(rank[target] for target in below[node]) - 1
        full = Counter(rank.values())
        across = max(full.values())
        return across * (NODE[0] + GAP) - GAP, len(full) * (NODE[1] + GAP) - GAP

    def zoom(self, width: int = 1600, height: int = 1000) -> float:
        """The scale at which the view fits a screen."""
        return min(width / self.room[0], height / self.room[1], 1.0)


def views(spec: Mapping[str, Any]) -> Iterator[tuple[str, View]]:
    """Every view under its name; the main one is ""."""
    yield "", _view(spec, spec["root"])
    for name, component in spec["components"].items():
        if "dag" in component:
            yield name.removeprefix("comp-"), _view(spec, component)


def _view(spec: Mapping[str, Any], component: Mapping[str, Any]) -> View:
    """In the page's own order, on which the drawing depends."""
    tasks = component["dag"]["tasks"]
    given = component.get("inputDefinitions", {}).get("artifacts", {})
    made = [
        (f"task.{name}", f"artifact.{name}.{artifact}")
        for name, task in tasks.items()
        for artifact in _outputs(spec["components"][task["componentRef"]["name"]])
    ]
    nodes = [*(f"task.{name}" for name in tasks), *(f"artifact..{name}" for name in given)]
    nodes += [artifact for _, artifact in made]
    edges = [*made]
    for name, task in tasks.items():
        for source in task.get("inputs", {}).get("artifacts", {}).values():
            found = source.get("taskOutputArtifact", {})
            maker = found.get("producerTask", "")
            artifact = found.get("outputArtifactKey") or source["componentInputArtifact"]
            edges.append((f"artifact.{maker}.{artifact}", f"task.{name}"))
    for name, task in tasks.items():
        for source in task.get("inputs", {}).get("parameters", {}).values():
            if "taskOutputParameter" in source:
                edges.append((f"task.{source['taskOutputParameter']['producerTask']}", f"task.{name}"))
    for name, task in tasks.items():
        edges += [(f"task.{before}", f"task.{name}") for before in task.get("dependentTasks", [])]
    return View(nodes, list(dict.fromkeys(edges)))


def _outputs(component: Mapping[str, Any]) -> Iterator[str]:
    yield from component.get("outputDefinitions", {}).get("artifacts", {})
