"""Kubeflow's components, made from the stages' declarations: one for every task, under its own name."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from kfp import dsl

from components.core.stage.container_image import image
from components.core.stage.io import StageIO, flag, stage_io
from components.stages import fields_of, section_of


def task_name(name_in_kfp: str) -> str:
    """`sft-1-domain`, as KFP writes it, to `sft_1_domain`, as everybody else does."""
    return name_in_kfp.replace("-", "_")


def component(task: str, given: Collection[str]) -> Any:
    """The container component of a task: its stage's image, command and arguments.

    KFP names a task after the component's function. Under one name, three uses of `curriculum_sft` would be
    `curriculum-sft`, `curriculum-sft-2` and `curriculum-sft-3`.

    Args:
        task: name of the task.
        given: the inputs and parameters that the task gets. What it does not get is not in the component, so
            nothing is left for a cluster to decide: Kubeflow 2.17.0 drops conditional arguments of artifacts.
    """
    stage = section_of(task).stage
    io = stage_io(stage)
    parameters = _parameters(io, field_params(task), given)

    def build(*placeholders: Any) -> dsl.ContainerSpec:
        values = dict(zip(parameters, placeholders, strict=True))
        return dsl.ContainerSpec(
            image=image(stage), command=["python3", "-m", f"components.{stage}"], args=_arguments(io, values)
        )

    texts = {name: text for name, text in io.help.items() if name in parameters}
    return dsl.container_component(declared(build, task, io.does, parameters, texts))


def field_params(task: str) -> dict[str, str]:
    """Parameter of a task -> the plain field of the form that it carries."""
    section = section_of(task)
    sections = (section.name, *stage_io(section.stage).sections)
    return {f"field_{field.name}": field.name for field in fields_of(sections)}


def declared(
    function: Any,
    name: str,
    does: str,
    parameters: Mapping[str, tuple[Any, Any]],
    help: Mapping[str, str],
    returns: Any = inspect.Signature.empty,
) -> Any:
    """The function as KFP reads it: name, texts, parameters with type and default, and what it returns."""
    described = "\n".join(f"    {parameter}: {text}" for parameter, text in help.items())
    function.__name__ = name
    function.__doc__ = f"{does}\n\nArgs:\n{described}\n" if described else does
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(parameter, kind, annotation=annotation, default=default)
            for parameter, (annotation, default) in parameters.items()
        ],
        return_annotation=returns,
    )
    return function


def _arguments(io: StageIO, values: dict[str, Any]) -> list[Any]:
    """The stage's command line: places of artifacts, with KFP's placeholders as values.

    Settings and strings stand in the executor input, from which the stage takes them. As arguments they would
    stand in the cluster's workflow a second time, and it holds each pod six times.
    """
    line: list[Any] = []
    for name in io.artifacts:
        if name in values:
            line += [flag(name), values[name].path]
    for name in io.output_params:
        line += [flag(name), values[name]]
    for name in (*io.made, "metrics", "report"):
        line += [flag(name), values[name].path]
    return [*line, "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]


def kind_of(io: StageIO, name: str) -> Any:
    """KFP's type of an artifact."""
    kinds = {"metrics": "Metrics", "report": "HTML", **io.kinds}
    return getattr(dsl, kinds.get(name, "Dataset"))


def _parameters(io: StageIO, fields: Collection[str], given: Collection[str]) -> dict[str, tuple[Any, Any]]:
    """Type of settings, strings and artifacts; nothing has a default."""
    wanted = {"config": dict, **dict.fromkeys((*io.params, *io.optional_params), str)}
    wanted |= {**dict.fromkeys(io.section_params, dict), **dict.fromkeys(fields, str)}
    wanted |= {name: dsl.Input[kind_of(io, name)] for name in io.artifacts}
    if io.condition:
        wanted[io.condition] = str
    found = {name: kind for name, kind in wanted.items() if name in given}
    found |= {name: dsl.Output[kind_of(io, name)] for name in (*io.made, "metrics", "report")}
    found |= {name: dsl.OutputPath(str) for name in io.output_params}
    return {name: (kind, inspect.Parameter.empty) for name, kind in found.items()}
