"""Long settings go by file: Linux refuses a single argument of 128 KiB (`MAX_ARG_STRLEN`, execve(2))."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.core.data.files import atomic_file

SETTINGS = "settings"
"""Sub-directory of a run that holds them."""
LONG = 16 * 2**10
"""Bytes from which an argument goes by file; all of a stage's settings together have to fit 2 MiB."""


def by_file(command: Sequence[str], folder: Path) -> list[str]:
    """The command with each long JSON value replaced by `@FILE`, as stages read it.

    Files are called after their option and lie in `folder`.
    """
    shortened = list(command)
    for place, value in enumerate(command):
        if value.startswith("{") and len(value.encode()) >= LONG:
            path = folder / f"{command[place - 1].lstrip('-') or place}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as temporary:
                temporary.write_text(value, encoding="utf-8")
            path.chmod(0o644)
            shortened[place] = f"@{path}"
    return shortened
