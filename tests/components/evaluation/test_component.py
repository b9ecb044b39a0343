"""The component's interface agrees with what the stage reads and writes."""

from __future__ import annotations

from kfp.dsl import Artifact, ClassificationMetrics, Dataset, IfPresentPlaceholder, Markdown, Model

from components.evaluation.component import evaluation
from components.evaluation.stage import IO


def test_interface_is_the_stage_io():
    spec = evaluation.component_spec
    inputs = set(IO.inputs) | set(IO.optional_inputs) | set(IO.params) | {"config"}
    assert set(spec.inputs) == inputs
    assert set(spec.outputs) == set(IO.outputs) | {"metrics", "report"}
    assert spec.inputs["checkpoint"].optional
    assert spec.inputs["checkpoint"].type == f"{Model.schema_title}@0.0.1"
    assert spec.outputs["predictions"].type == f"{Dataset.schema_title}@0.0.1"
    assert spec.outputs["confusion"].type == f"{ClassificationMetrics.schema_title}@0.0.1"
    assert spec.outputs["summary"].type == f"{Markdown.schema_title}@0.0.1"
    assert spec.outputs["scores"].type == f"{Artifact.schema_title}@0.0.1"


def test_every_input_and_output_has_its_flag():
    arguments = evaluation.component_spec.implementation.container.args
    flags = {argument for argument in arguments if isinstance(argument, str) and argument.startswith("--")}
    names = {*IO.inputs, *IO.params, *IO.outputs, "config", "metrics", "report", "executor_input"}
    assert flags == {f"--{name.replace('_', '-')}" for name in names}
    optional = [argument for argument in arguments if isinstance(argument, IfPresentPlaceholder)]
    assert [(argument.input_name, argument.then[0]) for argument in optional] == [
        ("checkpoint", "--checkpoint"),
        ("compare_with", "--compare-with"),
    ]
