"""The container's entry point: `python -m components.label_tree`."""

from __future__ import annotations

from components.core.runner import stage_main
from components.label_tree.config import Config
from components.label_tree.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("label_tree", Config, IO, run))
