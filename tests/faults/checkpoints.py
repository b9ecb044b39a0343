"""Committed checkpoints of a run that is writing and removing them meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from components.core.data.manifest import MANIFEST_NAME


def sealed_checkpoints(root: Path) -> set[Path]:
    """Directories `checkpoint-*` below `root` that hold a manifest. One that vanishes is passed over."""
    walked = os.walk(root)  # ignores what it cannot read; Path.rglob does not
    return {
        Path(here)
        for here, _, files in walked
        if MANIFEST_NAME in files and Path(here).name.startswith("checkpoint-")
    }
