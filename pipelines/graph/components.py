"""Kubeflow's components, made from the stages' declarations: one for every task, under its own name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.core.stage.container_image import image
from components.core.stage.io import StageIO, flag, stage_io
from components.stages import section_of


def task_name(name_in_kfp: str) -> str:
    """`sft-1-domain`, as KFP writes it, to `sft_1_domain`, as everybody else does."""
    return name_in_kfp.replace("-", "_")


def component(task: str) -> Any:
    """The container component of a task: its stage's image, command and arguments.

    KFP names a task after the component's function. Under one name, three uses of `curriculum_sft` would be
    `curriculum-sft`, `curriculum-sft-2` and `curriculum-sft-3`.
    """
    stage = section_of(task).stage
    io = stage_io(stage)
    parameters = _parameters(io)

    def build(*placeholders: Any) -> dsl.ContainerSpec:
        given = dict(zip(parameters, placeholders, strict=True))
        return dsl.ContainerSpec(
            image=image(stage), command=["python3", "-m", f"components.{stage}"], args=_arguments(io, given)
        )

    return dsl.container_component(declared(build, task, io.does, parameters, io.help))


def declared(
    function: Any, name: str, does: str, parameters: Mapping[str, tuple[Any, Any]], help: Mapping[str, str]
) -> Any:
    """The function as KFP reads it: name, texts, parameters with type and default."""
    described = "\n".join(f"    {parameter}: {text}" for parameter, text in help.items())
    function.__name__ = name
    function.__doc__ = f"{does}\n\nArgs:\n{described}\n" if described else does
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(parameter, kind, annotation=annotation, default=default)
            for parameter, (annotation, default) in parameters.items()
        ]
    )
    return function


def _arguments(io: StageIO, given: dict[str, Any]) -> list[Any]:
    """The stage's command line, with KFP's placeholders as values."""
    line: list[Any] = []
    for name in ("config", *io.strings):
        line += [flag(name), given[name]]
    for name in io.inputs:
        line += [flag(name), given[name].path]
    line += [dsl.IfPresentPlaceholder(name, [flag(name), given[name].path]) for name in io.optional_inputs]
    for name in io.output_params:
        line += [flag(name), given[name]]
    for name in (*io.outputs, "metrics", "report"):
        line += [flag(name), given[name].path]
    return [*line, "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]


def _parameters(io: StageIO) -> dict[str, tuple[Any, Any]]:
    """Type and default of settings, strings and artifacts; optional ones last."""
    kinds = {"metrics": "Metrics", "report": "HTML", **io.kinds}

    def artifact(direction: Any, name: str) -> Any:
        return direction[getattr(dsl, kinds.get(name, "Dataset"))]

    required = {"config": dict, **dict.fromkeys(io.params, str), **dict.fromkeys(io.section_params, dict)}
    required |= {name: artifact(dsl.Input, name) for name in io.inputs}
    required |= {name: artifact(dsl.Output, name) for name in (*io.outputs, "metrics", "report")}
    required |= {name: dsl.OutputPath(str) for name in io.output_params}
    optional: dict[str, tuple[Any, Any]] = dict.fromkeys(io.optional_params, (str, ""))
    optional |= {name: (artifact(dsl.Input, name), None) for name in io.optional_inputs}
    if io.condition:
        optional[io.condition] = (str, "true")
    return {name: (kind, inspect.Parameter.empty) for name, kind in required.items()} | optional
