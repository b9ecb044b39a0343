"""The post-training pipeline: which task gets which inputs and parameters, and its compilation.

One description compiles to two forms. Kubeflow's gets sub-graphs: its page would show all tasks at once in
letters too small to read. That for one machine is flat: kfp.local cannot hand an artifact to a sub-graph.

The parameters are the plain fields of the form, then one settings section each, numbered, because Kubeflow
shows them by the alphabet. A task gets its own section alone. So a changed setting invalidates the cache of
that task and of those that depend on it alone.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

from components.core.stage.io import stage_io
from components.stages import EVALUATED, FIELDS, SECTIONS, STAGES, section_of
from pipelines.graph.building import Values, build, sub_graph
from pipelines.graph.components import declared, field_params
from pipelines.graph.tasks import GROUPS, Given, Output, Outputs, Parameter
from pipelines.profile.run_profile import Profile

NAME = "vlm-post-training"
DESCRIPTION = (
    "Turns a general vision-language model into a domain expert that keeps its general ability: pictures to "
    "voted questions and answers, three stages of fine-tuning, reinforcement learning, evaluation after "
    "each, promotion."
)


def wire() -> dict[str, Given]:
    """Every task with all that it is given."""
    found: dict[str, Given] = {}

    def task(name: str, **inputs: Output | str) -> Outputs:
        found[name] = {**_settings(name), **inputs}
        return Outputs(name)

    world = task("preflight")
    ingested = task(
        "image_ingest", source=world["images"], benchmarks=world["benchmarks"], seen=world["seen"]
    )
    images, enough = ingested["images"], ingested["enough"]
    tree = task("label_tree", enough=enough)["label_tree"]
    ids = task("ids_scoring", images=images, enough=enough)["ids"]
    matches = task("topic_matching", images=images, ids=ids, label_tree=tree)["matches"]
    qa = task("qa_synthesis", images=images, ids=ids, label_tree=tree, matches=matches)["qa"]
    voted = task("voting_filter", images=images, qa=qa)
    data = {"images": images, "qa_kept": voted["qa_kept"]}

    checkpoints: dict[str, Output] = {}
    start: dict[str, Output] = {}  # the first stage starts from the base model
    pinned = {name: world[name] for name in ("base_model", "general_data")}
    for name in STAGES["curriculum_sft"].sections:
        checkpoints[name] = task(name, **pinned, **data, **start)["checkpoint"]
        start = {"init_checkpoint": checkpoints[name]}
    final = task("hybrid_rl", teacher=world["teacher"], **data, **start)["checkpoint"]
    checkpoints["hybrid_rl"] = final

    pinned = {name: world[name] for name in ("base_model", "benchmarks")}
    predictions: dict[str, Output] = {}
    for name in EVALUATED:
        measured = {"checkpoint": checkpoints[name]} if name in checkpoints else {}
        asked = task(f"evaluation_{name}", label=name, **pinned, **data, **measured)
        predictions[f"predictions_{name}"] = asked["predictions"]
    task("promotion", general_data=world["general_data"], checkpoint=final, **predictions, **data)
    return found


def _settings(task: str) -> dict[str, Parameter]:
    """Its section, the sections that it reads beside, and the plain fields that win over them."""
    section = section_of(task)
    others = {f"section_{name}": SECTIONS[name].parameter for name in stage_io(section.stage).sections}
    fields = {name: FIELDS[field].parameter for name, field in field_params(task).items()}
    given = {"config": section.parameter, **others, **fields}
    return {name: Parameter(parameter) for name, parameter in given.items()}


def post_training(profile: Profile, nested: bool = True) -> Any:
    """The pipeline, with the profile's settings as parameter defaults; flat if not nested."""
    wanted, sections = wire(), SECTIONS.values()
    parameters: dict[str, tuple[Any, Any]] = {field.parameter: (str, "") for field in FIELDS.values()}
    parameters |= {section.parameter: (dict, dict(profile.sections[section.name])) for section in sections}
    described = {field.parameter: _described(field.description, field.settings) for field in FIELDS.values()}
    described |= {section.parameter: section.description for section in sections}
    groups = {name: sub_graph(name, wanted, profile) for name in GROUPS} if nested else {}

    def pipeline(*values: Any) -> None:
        given: Values = {Parameter(name): value for name, value in zip(parameters, values, strict=True)}
        build(wanted, groups, given, profile)

    declared(pipeline, "pipeline", DESCRIPTION, parameters, described)
    return dsl.pipeline(name=NAME, description=DESCRIPTION, pipeline_config=kept_for(profile))(pipeline)


def kept_for(profile: Profile) -> dsl.PipelineConfig:
    """How long Kubernetes keeps a run's workflow and pods, whether it succeeded or failed.

    All three are set: Kubeflow's own default sets all three, and the more special ones win.
    """
    seconds = profile.kubeflow.ttl_seconds_after_finished
    return dsl.PipelineConfig(
        ttl_seconds_after_finished=seconds,
        ttl_seconds_after_success=seconds,
        ttl_seconds_after_failure=seconds,
    )


def compile_pipeline(profile: Profile, output: Path, nested: bool = True) -> Path:
    """Write the pipeline's IR, with the profile's settings as parameter defaults and its resources fixed.

    Args:
        profile: a checked run profile.
        output: the file.
        nested: with sub-graphs, for Kubeflow; otherwise flat, for `pipelines.local`.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(post_training(profile, nested), str(output))
    documents = list(yaml.safe_load_all(output.read_text(encoding="utf-8")))
    # `dsl.If` would put the tasks into one more graph; a driver honours a condition on tasks and sub-graphs.
    # What depends on a skipped one is omitted, and the run succeeds.
    for task in documents[0]["root"]["dag"]["tasks"].values():
        if "enough" in task["inputs"]["parameters"]:
            task["triggerPolicy"] = {"condition": "inputs.parameter_values['enough'] == 'true'"}
    output.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")
    return output


def _described(text: str, settings: Collection[str]) -> str:
    return f"{text} Filled in, it wins over {', '.join(settings)}; empty leaves them as they are."
