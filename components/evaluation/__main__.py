"""The container's entry point: `python -m components.evaluation`."""

from __future__ import annotations

from components.core.runner import stage_main
from components.evaluation.config import Config
from components.evaluation.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("evaluation", Config, IO, run))
