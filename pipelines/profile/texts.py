"""What a setting may say on Kubeflow: texts that would arrive changed, or stop a run, are found beforehand.

A setting's text goes through Kubeflow's database, Argo's templates and a container's arguments. Each has
signs of its own. Quotes, newlines, markup and Chinese arrive whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.core.stage.errors import ConfigError
from pipelines.profile.run_profile import Profile

MOST_BYTES = 100_000
"""Of a section as JSON. Linux takes 131,072 bytes in one argument, which holds the inputs' names too."""
_SIGNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\$\$"), "Kubernetes makes one '$' of two"),
    (re.compile(r"\$\([^)]*\)"), "Kubernetes takes it for a variable"),
    (re.compile(r"\{\{"), "Kubeflow and Argo take '{{' for the start of a template"),
    (
        re.compile("[\U00010000-\U0010ffff]"),
        "Kubeflow's database has no character beyond U+FFFF (emoji)",
    ),
    (re.compile("[\ud800-\udfff]"), "it is half a character"),
)
_ADVICE = "say it another way; long or special texts go into a file of their own, on a volume or in a bucket"


def check_texts(profile: Profile, **names: str) -> None:
    """Refuse a profile whose texts Kubeflow would not hand on as they are.

    Args:
        profile: its settings and resources are read.
        names: further texts that Kubeflow is told, by what a user calls them.

    Raises:
        ConfigError: naming every such setting.
    """
    resources = {task: wanted.model_dump(exclude_defaults=True) for task, wanted in profile.resources.items()}
    said = {"name": profile.name, **profile.sections, "resources": resources, **names}
    lines = [line for name, value in said.items() for line in unfit_texts(value, name)]
    lines += [line for name, section in profile.sections.items() for line in _too_long(section, name)]
    if lines:
        raise ConfigError("\n".join(dict.fromkeys(lines)) + f"; {_ADVICE}")


def unfit_texts(value: Any, name: str) -> Iterator[str]:
    """A line for every text in `value`, keys included, that would not arrive; `name` is the setting's."""
    if isinstance(value, str):
        for sign, why in _SIGNS:
            if found := sign.search(value):
                yield f"{name}: has {found.group()!a}; {why}"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from unfit_texts(str(key), f"{name}, the name {key!a}")
            yield from unfit_texts(item, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from unfit_texts(item, f"{name}.{index}")


def _too_long(section: Mapping[str, Any], name: str) -> Iterator[str]:
    size = len(json.dumps(section, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        yield f"{name}: is {size} bytes long, and a task can be given {MOST_BYTES}"
