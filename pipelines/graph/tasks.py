"""What a task is given, as data, and the sub-graphs in which tasks stand on Kubeflow's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.stages import TASKS

_BORDERS = {
    "data": "ids_scoring",
    "fine_tuning": "evaluation_base",
    "reinforcement": "evaluation_sft_3_align",
}
"""Sub-graph -> its first task; it ends before the next one's, the last before promotion."""
_STARTS = [TASKS.index(task) for task in (*_BORDERS.values(), "promotion")]
GROUPS = {
    group: TASKS[start:end] for group, start, end in zip(_BORDERS, _STARTS[:-1], _STARTS[1:], strict=True)
}
"""The sub-graphs on Kubeflow's page, in order; every other task stands in the main graph.

A sub-graph waits for the whole of the one before it. So evaluations stand beside the trainings. In one of
their own all would wait for the last training, and their artifacts in one row would fill three screens.
"""


@dataclass(frozen=True)
class Output:
    """An output of another task."""

    task: str
    name: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of the pipeline."""

    name: str


Given = Mapping[str, Output | Parameter | str]
"""Input or parameter of a task -> its source, or a fixed text."""


def group_of(task: str) -> str:
    """The sub-graph that a task stands in; "" for the main graph."""
    return next((group for group, tasks in GROUPS.items() if task in tasks), "")


@dataclass(frozen=True)
class Outputs:
    """The outputs of a task, by name."""

    task: str

    def __getitem__(self, name: str) -> Output:
        return Output(self.task, name)
