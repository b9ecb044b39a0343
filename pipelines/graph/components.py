"""Kubeflow's components, made from the stages' declarations: one for every task, under its own name."""

from __future__ import annotations

import inspect
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
        given = dict(zip((parameter.name for parameter in parameters), placeholders, strict=True))
        return dsl.ContainerSpec(
            image=image(stage), command=["python3", "-m", f"components.{stage}"], args=_arguments(io, given)
        )

    build.__name__ = task
    described = "\n".join(f"    {name}: {text}" for name, text in io.help.items())
    build.__doc__ = f"{io.does}\n\nArgs:\n{described}\n" if described else io.does
    # KFP reads types, names and defaults from the signature.
    build.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return dsl.container_component(build)


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


def _parameters(io: StageIO) -> list[inspect.Parameter]:
    """The signature that KFP reads: settings, strings and artifacts, optional ones last."""
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
    parameters = {name: (annotation, inspect.Parameter.empty) for name, annotation in required.items()}
    return [
        inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default
        )
        for name, (annotation, default) in (parameters | optional).items()
    ]
