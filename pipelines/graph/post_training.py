"""The post-training pipeline: which task gets which inputs, parameters and resources, and its compilation.

The graph is flat, because nested graphs break Kubeflow's Retry. Its parameters are one settings section each,
numbered in the order of the stages, because Kubeflow shows them by the alphabet. A task gets its own section
alone. So a changed setting invalidates the cache of that task and of those that depend on it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

from components.core.stage.container_image import CHECKS_ALL
from components.core.stage.io import stage_io
from components.stages import EVALUATED, SECTIONS, STAGES, section_of
from pipelines.graph.components import component, declared
from pipelines.graph.pods import apply_resources
from pipelines.profile.run_profile import Profile

NAME = "vlm-post-training"
DESCRIPTION = (
    "Turns a general vision-language model into a domain expert that keeps its general ability: pictures to "
    "voted questions and answers, three stages of fine-tuning, reinforcement learning, evaluation after "
    "each, promotion."
)
AFTER_CHECK = ("ids-scoring", "label-tree")
"""Tasks that a run with too few new pictures skips; all others depend on one of them."""


def wire(profile: Profile, settings: Mapping[str, Any]) -> None:
    """Create every task and connect it; `settings` maps sections to the pipeline's parameters."""

    def task(name: str, **inputs: Any) -> Any:
        section = section_of(name)
        others = {f"section_{other}": settings[other] for other in stage_io(section.stage).sections}
        made = component(name)(config=settings[section.name], **others, **inputs)
        apply_resources(made, profile.resources[name])
        if section.stage in CHECKS_ALL:  # it looks at the world outside, which a cache key cannot see
            made.set_caching_options(False)
        return made.outputs

    world = task("preflight")
    ingested = task(
        "image_ingest", source=world["images"], benchmarks=world["benchmarks"], seen=world["seen"]
    )
    images = ingested["images"]
    enough = {"enough": ingested["enough"]} if _waits_for_new_images(profile) else {}
    tree = task("label_tree", **enough)["label_tree"]
    ids = task("ids_scoring", images=images, **enough)["ids"]
    matches = task("topic_matching", images=images, ids=ids, label_tree=tree)["matches"]
    qa = task("qa_synthesis", images=images, ids=ids, label_tree=tree, matches=matches)["qa"]
    voted = task("voting_filter", images=images, qa=qa)

    checkpoints: dict[str, Any] = {}
    start: dict[str, Any] = {}  # the first stage starts from the base model
    for name in STAGES["curriculum_sft"].sections:
        checkpoints[name] = task(
            name,
            base_model=world["base_model"],
            general_data=world["general_data"],
            images=images,
            qa_kept=voted["qa_kept"],
            qa_rejected=voted["qa_rejected"],
            votes=voted["votes"],
            **start,
        )["checkpoint"]
        start = {"init_checkpoint": checkpoints[name]}
    final = task("hybrid_rl", images=images, qa_kept=voted["qa_kept"], **start)["checkpoint"]
    checkpoints["hybrid_rl"] = final

    evaluated = {
        name: task(
            f"evaluation_{name}",
            label=name,
            base_model=world["base_model"],
            benchmarks=world["benchmarks"],
            images=images,
            qa_kept=voted["qa_kept"],
            **({"checkpoint": checkpoints[name]} if name in checkpoints else {}),
        )
        for name in EVALUATED
    }
    task(
        "promotion",
        general_data=world["general_data"],
        checkpoint=final,
        **{f"scores_{name}": outputs["scores"] for name, outputs in evaluated.items()},
        predictions_base=evaluated["base"]["predictions"],
        predictions_hybrid_rl=evaluated["hybrid_rl"]["predictions"],
        qa_kept=voted["qa_kept"],
        images=images,
    )


def post_training(profile: Profile) -> Any:
    """The pipeline, with the profile's settings as parameter defaults."""

    def pipeline(*values: Any) -> None:
        wire(profile, dict(zip(SECTIONS, values, strict=True)))

    sections = SECTIONS.values()
    parameters = {section.parameter: (dict, dict(profile.sections[section.name])) for section in sections}
    described = {section.parameter: section.description for section in sections}
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


def compile_pipeline(profile: Profile, output: Path) -> Path:
    """Write the pipeline's IR, with the profile's settings as parameter defaults and its resources fixed."""
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(post_training(profile), str(output))
    if not _waits_for_new_images(profile):
        return output
    # `dsl.If` would nest the tasks in a graph of their own; the graph stays flat. Kubeflow's driver honours a
    # condition on a container task all the same. Tasks that depend on a skipped one are omitted, and the run
    # succeeds.
    documents = list(yaml.safe_load_all(output.read_text(encoding="utf-8")))
    for name in AFTER_CHECK:
        condition = {"condition": "inputs.parameter_values['enough'] == 'true'"}
        documents[0]["root"]["dag"]["tasks"][name]["triggerPolicy"] = condition
    output.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")
    return output


def _waits_for_new_images(profile: Profile) -> bool:
    """Whether the run ends after ingest where there are too few new pictures."""
    return bool(profile.sections["image_ingest"]["min_new_images"])
