"""`python -m components.ids_scoring`: the container's entry point."""

from __future__ import annotations

from components.core.runner import stage_main
from components.ids_scoring.config import Config
from components.ids_scoring.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("ids_scoring", Config, IO, run))
