"""Entry point of the stage's container."""

from __future__ import annotations

from components.core.runner import stage_main
from components.qa_synthesis.config import Config
from components.qa_synthesis.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("qa_synthesis", Config, IO, run))
