from __future__ import annotations

from components.core.runner import stage_main
from components.curriculum_sft.config import Config
from components.curriculum_sft.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("curriculum_sft", Config, IO, run))
