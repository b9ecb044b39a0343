"""Committed checkpoints of a run that is writing and removing them meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from components.core.data.manifest import MANIFEST_NAME


def sealed_checkpoints(root: Path, marker: str = MANIFEST_NAME) -> set[Path]:
    """Directories `checkpoint-*` below `root` that hold `marker`, while they may vanish."""
    walked = os.walk(root)  # ignores what it cannot read; Path.rglob does not
    return {
        Path(here)
        for here, _, files in walked
        if marker in files and Path(here).name.startswith("checkpoint-")
    }
