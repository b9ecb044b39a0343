"""Kubeflow's components agree with the declarations of the stages."""

from __future__ import annotations

import pytest
from kfp.dsl import Artifact, Dataset, Model

from components.core.stage.io import flag, stage_io
from components.stages import TASKS, section_of
from pipelines.graph.components import component, field_params
from pipelines.graph.post_training import wire


def everything(task: str) -> set[str]:
    """All that a task can be given."""
    io = stage_io(section_of(task).stage)
    return {"config", *io.artifacts, *io.strings, *field_params(task), io.condition} - {""}


@pytest.mark.parametrize("task", TASKS)
def test_interface_is_the_stage_io(task):
    io = stage_io(section_of(task).stage)
    spec = component(task, everything(task)).component_spec
    assert spec.name == task.replace("_", "-")
    assert spec.description == io.does
    assert set(spec.inputs) == everything(task)
    assert set(spec.outputs) == {*io.made, *io.output_params, "metrics", "report"}
    assert not any(given.optional for given in spec.inputs.values())


@pytest.mark.parametrize("task", TASKS)
def test_what_a_task_is_not_given_is_not_in_its_component(task):
    given = wire()[task]
    spec = component(task, given).component_spec
    assert set(spec.inputs) == set(given)
    io = stage_io(section_of(task).stage)
    flags = {part for part in spec.implementation.container.args if str(part).startswith("--")}
    read = [name for name in io.artifacts if name in given]
    written = [*io.made, *io.output_params, "metrics", "report", "executor_input"]
    assert flags == {flag(name) for name in (*read, *written)}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_three_artifacts_at_most(task):
    """Its result with all that lies inside, report and metrics; none is the beginning of another's name.

    Kubeflow's launcher fetches everything whose key begins with the artifact's.
    """
    outputs = component(task, wire()[task]).component_spec.outputs
    made = sorted(set(outputs) - set(stage_io(section_of(task).stage).output_params))
    assert len(made) <= 3
    assert not any(after.startswith(before) for before, after in zip(made, made[1:], strict=False))


def test_kinds_of_artifacts():
    spec = component("evaluation_base", everything("evaluation_base")).component_spec
    assert spec.inputs["checkpoint"].type == f"{Model.schema_title}@0.0.1"
    assert spec.outputs["predictions"].type == f"{Dataset.schema_title}@0.0.1"
    verdict = component("promotion", everything("promotion")).component_spec.outputs["verdict"]
    assert verdict.type == f"{Artifact.schema_title}@0.0.1"
