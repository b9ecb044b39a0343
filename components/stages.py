"""The list of stages: every stage once, with its group of dependencies and its sections of a run profile.

All other lists derive from `STAGES`: sections and parameters, tasks and their order, images, what preflight
checks and what promotion keeps. The module imports nothing of the project, so everybody may import it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """One folder of `components`."""

    name: str
    """Name of the folder."""
    group: str
    """Dependency group of its image: an extra of pyproject.toml, locked in `requirements/<group>.lock`."""
    decides: str = ""
    """What its section of a profile decides; shown beside the parameter in Kubeflow's form."""
    sections: Mapping[str, str] = field(default_factory=dict)
    """Section -> what it decides, for a stage that a run uses several times."""
    trains: bool = False
    """Whether each use ends with a checkpoint, which is then evaluated."""


_STAGES = (
    Stage(
        "preflight", "core", "Where the run's outside data is: images, general data, base model, benchmarks."
    ),
    Stage("image_ingest", "data", "Which pictures are accepted, near-duplicates, the held-out share."),
    Stage("ids_scoring", "data", "How information density is scored and how many questions a picture gets."),
    Stage("label_tree", "core", "The experts' first-level labels and how the model expands them."),
    Stage("topic_matching", "core", "How pictures are matched to topics, coarse then fine."),
    Stage("qa_synthesis", "core", "The teacher that writes questions and answers, and their evolution."),
    Stage("voting_filter", "data", "The voters and the agreement a question needs to be kept."),
    Stage(
        "curriculum_sft",
        "train",
        sections={
            "sft_1_domain": "Fine-tuning stage 1: domain knowledge.",
            "sft_2_restore": "Fine-tuning stage 2: general capability restored.",
            "sft_3_align": "Fine-tuning stage 3: preference alignment.",
        },
        trains=True,
    ),
    Stage(
        "hybrid_rl",
        "train",
        "Reinforcement learning with accuracy, pass@k, diversity and length rewards.",
        trains=True,
    ),
    Stage("evaluation", "train", "How the base model and every trained stage are measured."),
    Stage("promotion", "core", "The criteria the final model has to meet."),
)

STAGES = {stage.name: stage for stage in _STAGES}
"""By name, in the order of the pipeline."""


@dataclass(frozen=True)
class Section:
    """One section of a run profile, and one parameter of the pipeline."""

    name: str
    """Name in the profile, e.g. `sft_1_domain`."""
    stage: str
    """The stage whose settings it holds, e.g. `curriculum_sft`."""
    description: str
    """What the section decides."""
    parameter: str
    """Name of the pipeline parameter; numbered, because Kubeflow lists parameters by the alphabet."""


_USES = [
    (name, stage.name, text)
    for stage in _STAGES
    for name, text in (stage.sections or {stage.name: stage.decides}).items()
]
SECTIONS = {
    name: Section(name, stage, text, f"s{number:02d}_{name}")
    for number, (name, stage, text) in enumerate(_USES)
}
"""By name, in the order of the pipeline."""

TRAINING = tuple(section.name for section in SECTIONS.values() if STAGES[section.stage].trains)
"""The tasks that each end with a checkpoint, in order."""

EVALUATED = ("base", *TRAINING)
"""What evaluation measures, in order; each is a task `evaluation_<name>` and a row of the summary table."""


@dataclass(frozen=True)
class Field:
    """A plain field of Kubeflow's form for what people change from run to run; filled in, it wins."""

    name: str
    """Name in commands: the option `--field-<name>` of a stage."""
    parameter: str
    """Name of the pipeline parameter; numbered, and by the alphabet before those of the sections."""
    settings: tuple[str, ...]
    """The settings it stands for, as `section.setting`."""
    description: str
    """What it decides; shown beside the parameter in Kubeflow's form."""


_SEEDED = ("ids_scoring", *TRAINING, "evaluation")
_FIELDS = (
    ("pictures", ("preflight.images",), "Where the pictures are."),
    ("general_data", ("preflight.general_data",), "Where the general training data is."),
    ("base_model", ("preflight.base_model",), "Directory of the base model."),
    ("start_from", ("preflight.start_from",), "What training starts from: base_model or promoted."),
    (
        "min_new_images",
        ("image_ingest.min_new_images",),
        "Fewer new pictures end the run early.",
    ),
    ("seed", tuple(f"{name}.seed" for name in _SEEDED), "Seed of every stage that has one."),
)
FIELDS = {
    name: Field(name, f"p{number}_{name}", settings, text)
    for number, (name, settings, text) in enumerate(_FIELDS, start=1)
}
"""By name, in the order of the form."""


def fields_of(sections: Iterable[str]) -> tuple[Field, ...]:
    """The fields that stand for a setting of one of these sections."""
    wanted = set(sections)
    return tuple(
        item for item in FIELDS.values() if any(name.partition(".")[0] in wanted for name in item.settings)
    )


def _tasks() -> tuple[str, ...]:
    """The base model is evaluated before training begins, each checkpoint once it is made."""
    found: list[str] = []
    for name in SECTIONS:
        if name == TRAINING[0]:
            found.append("evaluation_base")
        if name in TRAINING:
            found += [name, f"evaluation_{name}"]
        elif name != "evaluation":
            found.append(name)
    return tuple(found)


TASKS = _tasks()
"""Every task of the pipeline, in the order in which one machine runs them."""


_TITLES = {
    "base": "Base model",
    "preflight": "Checks before the start",
    "image_ingest": "Pictures taken in",
    "ids_scoring": "Information density",
    "label_tree": "Topics",
    "topic_matching": "Pictures and their topics",
    "qa_synthesis": "Questions and answers",
    "voting_filter": "Vote on the questions",
    "sft_1_domain": "Domain training",
    "sft_2_restore": "General ability restored",
    "sft_3_align": "Preferences aligned",
    "hybrid_rl": "Reinforcement learning",
    "promotion": "Verdict",
}


def title_of(name: str) -> str:
    """What people call a task, or a model that is evaluated; a name without a title stays as it is."""
    measured = name.removeprefix("evaluation_")
    title = _TITLES.get(measured, measured.replace("_", " "))
    return f"{title}, measured" if measured != name else title


def section_of(task: str) -> Section:
    """The section that configures a task: its own, or `evaluation` for every evaluation task."""
    return SECTIONS["evaluation" if task.startswith("evaluation_") else task]
