"""The parts of a run, in order: which task runs which component with which section of the run profile.

Single source for the pipeline's parameters, the profile's sections, the order of a local run and of the report.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One section of a run profile, and one parameter of the pipeline."""

    name: str
    """Name in the profile, e.g. `sft_1_domain`."""
    component: str
    """The component whose settings it holds, e.g. `curriculum_sft`."""
    description: str
    """What the section decides; shown beside the parameter in Kubeflow's form."""
    parameter: str
    """Name of the pipeline parameter; numbered, because Kubeflow lists parameters by the alphabet."""


def _numbered(*rows: tuple[str, str, str]) -> tuple[Section, ...]:
    return tuple(
        Section(name, component, description, f"s{number:02d}_{name}")
        for number, (name, component, description) in enumerate(rows)
    )


SECTIONS = _numbered(
    (
        "preflight",
        "preflight",
        "Where the run's outside data is: images, general data, base model, benchmarks.",
    ),
    ("image_ingest", "image_ingest", "Which pictures are accepted, near-duplicates, the held-out share."),
    (
        "ids_scoring",
        "ids_scoring",
        "How information density is scored and how many questions a picture gets.",
    ),
    ("label_tree", "label_tree", "The experts' first-level labels and how the model expands them."),
    ("topic_matching", "topic_matching", "How pictures are matched to topics, coarse then fine."),
    ("qa_synthesis", "qa_synthesis", "The teacher that writes questions and answers, and their evolution."),
    ("voting_filter", "voting_filter", "The voters and the agreement a question needs to be kept."),
    ("sft_1_domain", "curriculum_sft", "Fine-tuning stage 1: domain knowledge."),
    ("sft_2_restore", "curriculum_sft", "Fine-tuning stage 2: general capability restored."),
    ("sft_3_align", "curriculum_sft", "Fine-tuning stage 3: preference alignment."),
    ("hybrid_rl", "hybrid_rl", "Reinforcement learning with accuracy, pass@k, diversity and length rewards."),
    ("evaluation", "evaluation", "How the base model and every trained stage are measured."),
    ("promotion", "promotion", "The criteria the final model has to meet."),
)
BY_NAME = {section.name: section for section in SECTIONS}

TRAINING = ("sft_1_domain", "sft_2_restore", "sft_3_align", "hybrid_rl")
"""The tasks that each end with a checkpoint, in order."""

EVALUATED = ("base", *TRAINING)
"""What evaluation measures, in order; each is a task `evaluation_<name>` and a row of the summary table."""


def _task_order() -> tuple[str, ...]:
    data = tuple(s.name for s in SECTIONS if s.name not in (*TRAINING, "evaluation", "promotion"))
    measured = tuple(task for name in TRAINING for task in (name, f"evaluation_{name}"))
    return (*data, "evaluation_base", *measured, "promotion")


TASKS = _task_order()
"""Every task of the pipeline, in the order in which one machine runs them."""


def section_of(task: str) -> Section:
    """The section that configures a task: its own, or `evaluation` for every evaluation task."""
    return BY_NAME["evaluation" if task.startswith("evaluation_") else task]
