"""Kubeflow's components agree with the declarations of the stages."""

from __future__ import annotations

import pytest
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, IfPresentPlaceholder, Markdown, Model

from components.core.stage.io import stage_io
from components.stages import TASKS, section_of
from pipelines.graph.components import component


@pytest.mark.parametrize("task", TASKS)
def test_interface_is_the_stage_io(task):
    spec, io = component(task).component_spec, stage_io(section_of(task).stage)
    condition = {io.condition} - {""}
    assert spec.name == task.replace("_", "-")
    assert spec.description == io.does
    assert set(spec.inputs) == {*io.artifacts, *io.strings, "config"} | condition
    assert set(spec.outputs) == {*io.written, "metrics", "report"}
    optional = {*io.optional_inputs, *io.optional_params} | condition
    assert {name for name, given in spec.inputs.items() if given.optional} == optional


def test_kinds_of_artifacts():
    spec = component("evaluation_base").component_spec
    assert spec.inputs["checkpoint"].type == f"{Model.schema_title}@0.0.1"
    assert spec.outputs["predictions"].type == f"{Dataset.schema_title}@0.0.1"
    assert spec.outputs["confusion"].type == f"{ClassificationMetrics.schema_title}@0.0.1"
    assert spec.outputs["summary"].type == f"{Markdown.schema_title}@0.0.1"
    assert spec.outputs["scores"].type == f"{Artifact.schema_title}@0.0.1"


@pytest.mark.parametrize("task", TASKS)
def test_every_input_and_output_has_its_flag(task):
    io = stage_io(section_of(task).stage)
    arguments = component(task).component_spec.implementation.container.args
    flags = {argument for argument in arguments if isinstance(argument, str) and argument.startswith("--")}
    names = {*io.inputs, *io.strings, *io.written, "config", "metrics", "report", "executor_input"}
    assert flags == {f"--{name.replace('_', '-')}" for name in names}
    optional = [argument for argument in arguments if isinstance(argument, IfPresentPlaceholder)]
    assert [(argument.input_name, argument.then[0]) for argument in optional] == [
        (name, f"--{name.replace('_', '-')}") for name in io.optional_inputs
    ]
