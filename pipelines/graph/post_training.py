"""The post-training pipeline, as KFP sees it: which task gets which inputs, parameters and resources.

The graph is flat, because nested graphs break Kubeflow's Retry. Its parameters are one settings section each, numbered
in the order of the stages, because Kubeflow shows them by the alphabet. A task gets its own section alone, so a
changed setting invalidates the cache of that task and of what depends on it, and of nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

from components.stages import EVALUATED, SECTIONS, TRAINING
from pipelines.graph.components import component
from pipelines.graph.pods import apply_resources
from pipelines.profile.resources import Resources
from pipelines.profile.run_profile import Profile

NAME = "vlm-post-training"
DESCRIPTION = (
    "Turns a general vision-language model into a domain expert that keeps its general ability: pictures to voted "
    "questions and answers, three stages of fine-tuning, reinforcement learning, evaluation after each, promotion."
)


AFTER_CHECK = ("ids-scoring", "label-tree")
"""Tasks that a run with too few new pictures skips; all others depend on one of them."""


def compile_pipeline(profile: Profile, output: Path) -> Path:
    """Write the pipeline's IR, with the profile's settings as parameter defaults and its resources fixed."""
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(post_training(profile), str(output))
    if waits_for_new_images(profile):
        _skip_without_new_images(output)
    return output


def waits_for_new_images(profile: Profile) -> bool:
    """Whether the run ends after ingest where there are too few new pictures."""
    return bool(profile.sections["image_ingest"]["min_new_images"])


def _skip_without_new_images(ir: Path) -> None:
    """Give the tasks behind ingest the condition that there is enough new.

    `dsl.If` would nest them in a graph of their own; the graph stays flat. Kubeflow's driver honours a condition on a
    container task all the same; what depends on a skipped task is omitted, and the run succeeds.
    """
    documents = list(yaml.safe_load_all(ir.read_text(encoding="utf-8")))
    tasks = documents[0]["root"]["dag"]["tasks"]
    for name in AFTER_CHECK:
        tasks[name]["triggerPolicy"] = {"condition": "inputs.parameter_values['enough'] == 'true'"}
    ir.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")


def post_training(profile: Profile) -> Any:
    """The pipeline, with the profile's settings as parameter defaults."""

    def pipeline(*values: Any) -> None:
        graph = _Graph(profile.resources, checks_for_new=waits_for_new_images(profile))
        graph.build(dict(zip(SECTIONS, values, strict=True)))

    # KFP reads the pipeline's parameters from the signature: one dict a section, described, with its default.
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                section.parameter,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=dict,
                default=dict(profile.sections[section.name]),
            )
            for section in SECTIONS.values()
        ]
    )
    described = "\n".join(f"    {section.parameter}: {section.description}" for section in SECTIONS.values())
    pipeline.__doc__ = f"{DESCRIPTION}\n\nArgs:\n{described}\n"
    return dsl.pipeline(name=NAME, description=DESCRIPTION)(pipeline)


class _Graph:
    """Creates the tasks and wires them."""

    def __init__(self, resources: Mapping[str, Resources], checks_for_new: bool = False) -> None:
        self._resources, self._checks_for_new = resources, checks_for_new

    def build(self, settings: Mapping[str, Any]) -> None:
        """Create every task; `settings` maps section names to pipeline parameters."""
        checks = self._task(
            "preflight",
            config=settings["preflight"],
            **{f"section_{name}": value for name, value in settings.items() if name != "preflight"},
        )
        # Preflight looks at the world outside, which a cache key cannot see.
        checks.set_caching_options(False)
        world = checks.outputs

        ingested = self._task(
            "image_ingest",
            config=settings["image_ingest"],
            source=world["images"],
            benchmarks=world["benchmarks"],
            seen=world["seen"],
        )
        enough = {"enough": ingested.outputs["enough"]} if self._checks_for_new else {}
        images = ingested.outputs["images"]
        tree = self._task("label_tree", config=settings["label_tree"], **enough).outputs["label_tree"]
        ids = self._task("ids_scoring", config=settings["ids_scoring"], images=images, **enough).outputs[
            "ids"
        ]
        matches = self._task(
            "topic_matching",
            config=settings["topic_matching"],
            images=images,
            ids=ids,
            label_tree=tree,
        ).outputs["matches"]
        qa = self._task(
            "qa_synthesis",
            config=settings["qa_synthesis"],
            images=images,
            ids=ids,
            label_tree=tree,
            matches=matches,
        ).outputs["qa"]
        votes = self._task("voting_filter", config=settings["voting_filter"], images=images, qa=qa).outputs

        checkpoints: dict[str, Any] = {}
        for name in TRAINING[:-1]:
            previous = list(checkpoints.values())[-1:]
            checkpoints[name] = self._task(
                name,
                config=settings[name],
                base_model=world["base_model"],
                general_data=world["general_data"],
                images=images,
                qa_kept=votes["qa_kept"],
                qa_rejected=votes["qa_rejected"],
                votes=votes["votes"],
                **({"init_checkpoint": previous[0]} if previous else {}),
            ).outputs["checkpoint"]
        checkpoints["hybrid_rl"] = self._task(
            "hybrid_rl",
            config=settings["hybrid_rl"],
            images=images,
            qa_kept=votes["qa_kept"],
            init_checkpoint=checkpoints["sft_3_align"],
        ).outputs["checkpoint"]

        evaluated = {}
        for name in EVALUATED:
            evaluated[name] = self._task(
                f"evaluation_{name}",
                config=settings["evaluation"],
                label=name,
                base_model=world["base_model"],
                benchmarks=world["benchmarks"],
                images=images,
                qa_kept=votes["qa_kept"],
                **({"checkpoint": checkpoints[name]} if name in checkpoints else {}),
            ).outputs
        self._task(
            "promotion",
            config=settings["promotion"],
            general_data=world["general_data"],
            # Kept with the registered version; a change that changes no input finds the version that is there.
            **{f"section_{name}": value for name, value in settings.items() if name != "promotion"},
            checkpoint=checkpoints["hybrid_rl"],
            **{f"scores_{name}": outputs["scores"] for name, outputs in evaluated.items()},
            predictions_base=evaluated["base"]["predictions"],
            predictions_hybrid_rl=evaluated["hybrid_rl"]["predictions"],
            qa_kept=votes["qa_kept"],
            images=images,
        )

    def _task(self, name: str, **inputs: Any) -> Any:
        task = component(name)(**inputs)
        apply_resources(task, self._resources[name])
        return task
