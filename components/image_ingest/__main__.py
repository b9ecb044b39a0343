"""`python -m components.image_ingest`: the container's entry point."""

from __future__ import annotations

from components.core.runner import stage_main
from components.image_ingest.config import Config
from components.image_ingest.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("image_ingest", Config, IO, run))
