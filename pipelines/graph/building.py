"""A graph built in KFP from its description: tasks, and sub-graphs with what passes their borders."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

from kfp import dsl

from components.core.stage.container_image import CHECKS_ALL
from components.core.stage.io import stage_io
from components.stages import SECTIONS, section_of
from pipelines.graph.components import component, declared, kind_of
from pipelines.graph.pods import apply_resources
from pipelines.graph.tasks import GROUPS, Given, Output, Parameter, group_of
from pipelines.profile.run_profile import Profile

Values = dict[Output | Parameter, Any]
"""Output or parameter -> KFP's channel for it, where a graph is being built."""


def build(wanted: Mapping[str, Given], groups: Mapping[str, Group], known: Values, profile: Profile) -> None:
    """Create every task and sub-graph of the main graph, and connect them.

    Args:
        wanted: the tasks with all that they are given.
        groups: the sub-graphs by name, made by `sub_graph`; none for a flat graph.
        known: the pipeline's parameters.
        profile: says the tasks' resources.
    """
    for name in _order(wanted, groups):
        if name in groups:
            groups[name].add(known)
        else:
            _add_task(name, wanted[name], known, profile)


def _order(wanted: Mapping[str, Given], groups: Collection[str]) -> Iterator[str]:
    """Tasks of the main graph and sub-graphs, each after those it reads."""
    place = {name: group_of(name) if group_of(name) in groups else name for name in wanted}
    needs: dict[str, set[str]] = {}
    for name, given in wanted.items():
        makers = {place[source.task] for source in given.values() if isinstance(source, Output)}
        needs.setdefault(place[name], set()).update(makers - {place[name]})
    return iter(TopologicalSorter(needs).static_order())


def _add_task(name: str, given: Given, known: Values, profile: Profile) -> None:
    """Create a task, connect it, and make its outputs known."""
    stage = section_of(name).stage
    inputs = {key: source if isinstance(source, str) else known[source] for key, source in given.items()}
    made = component(name, inputs)(**inputs)
    apply_resources(made, profile.resources[name])
    if stage in CHECKS_ALL:  # it looks at the world outside, which a cache key cannot see
        made.set_caching_options(False)
    io = stage_io(stage)
    known |= {Output(name, output): made.outputs[output] for output in (*io.made, *io.output_params)}


class Group(NamedTuple):
    """A sub-graph: its component, made beforehand because KFP makes one graph at a time, and its border."""

    component: Any
    arguments: Mapping[str, Output | Parameter]
    """Input -> what its tasks read from outside."""
    results: Mapping[str, Output | Parameter]
    """Output -> what others read of its tasks."""

    def add(self, known: Values) -> None:
        """Create its task, connect it, and make its outputs known."""
        made = self.component(**{name: known[source] for name, source in self.arguments.items()})
        known |= {source: made.outputs[name] for name, source in self.results.items()}


def sub_graph(group: str, wanted: Mapping[str, Given], profile: Profile) -> Group:
    """The sub-graph of this name."""
    inside = GROUPS[group]
    others = [name for name in wanted if name not in inside]
    arguments = {_channel(source): source for source in _read(inside, wanted) if not _made_by(source, inside)}
    results = {_channel(source): source for source in _read(others, wanted) if _made_by(source, inside)}
    outputs = NamedTuple("Outputs", [(name, _type(source)) for name, source in results.items()])  # type: ignore[misc]

    def graph(*values: Any) -> Any:
        known: Values = dict(zip(arguments.values(), values, strict=True))
        for name in inside:
            _add_task(name, wanted[name], known, profile)
        return outputs(*(known[source] for source in results.values()))

    kinds = {name: dsl.Input[_type(s)] if _is_artifact(s) else _type(s) for name, s in arguments.items()}
    parameters = {name: (kind, inspect.Parameter.empty) for name, kind in kinds.items()}
    declared(graph, group, "", parameters, {}, outputs)
    return Group(dsl.pipeline(name=group)(graph), arguments, results)


def _read(names: Collection[str], wanted: Mapping[str, Given]) -> Iterator[Output | Parameter]:
    """What these tasks read, in order; repeated where several read it."""
    return (source for name in names for source in wanted[name].values() if not isinstance(source, str))


def _made_by(source: Output | Parameter, names: Collection[str]) -> bool:
    return isinstance(source, Output) and source.task in names


def _channel(source: Output | Parameter) -> str:
    """Its name at the border of a sub-graph."""
    if isinstance(source, Parameter):
        return source.name
    return source.name if source.task in ("preflight", "image_ingest") else f"{source.task}_{source.name}"


def _is_artifact(source: Output | Parameter) -> bool:
    return isinstance(source, Output) and source.name in stage_io(section_of(source.task).stage).made


def _type(source: Output | Parameter) -> Any:
    """KFP's type of an artifact or parameter."""
    if isinstance(source, Output):
        io = stage_io(section_of(source.task).stage)
        return kind_of(io, source.name) if source.name in io.made else str
    return dict if source.name in {section.parameter for section in SECTIONS.values()} else str
