"""Whether a task's settings fit the command line that Kubeflow makes of them."""

from __future__ import annotations

import json

from components.core.stage.errors import ConfigError
from components.core.stage.io import stage_io
from components.stages import TASKS, section_of
from pipelines.profile.run_profile import Profile

# Kubeflow's launcher gets all inputs of a task in one argument, and Linux takes 128 KiB (execve(2)). The rest
# is for artifacts and outputs, some 400 bytes each.
MOST_BYTES = 112 * 2**10


def refuse_long_settings(profile: Profile) -> None:
    """Before a pipeline goes to a cluster: every task's settings have to fit one argument.

    A run on this machine has no such limit: there long settings go by file.

    Raises:
        ConfigError: naming the first task whose settings do not, and its longest section.
    """
    sizes = {
        name: len(json.dumps(dict(section), ensure_ascii=False).encode())
        for name, section in profile.sections.items()
    }
    for task in TASKS:
        own = section_of(task)
        given = {name: sizes[name] for name in (own.name, *stage_io(own.stage).sections)}
        if (total := sum(given.values())) > MOST_BYTES:
            longest = max(given, key=lambda name: given[name])
            limit = f"Kubeflow hands a task at most {MOST_BYTES:,} bytes of them on one command line"
            advice = f"shorten {longest} ({given[longest]:,} bytes), for example its descriptions"
            raise ConfigError(f"{task}: its settings take {total:,} bytes; {limit}; {advice}")
