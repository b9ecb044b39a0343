"""The container's entry point: `python -m components.topic_matching`."""

from __future__ import annotations

from components.core.runner import stage_main
from components.topic_matching.config import Config
from components.topic_matching.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("topic_matching", Config, IO, run))
