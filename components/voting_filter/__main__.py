"""Entry point of the stage's container."""

from __future__ import annotations

from components.core.runner import stage_main
from components.voting_filter.config import Config
from components.voting_filter.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("voting_filter", Config, IO, run))
