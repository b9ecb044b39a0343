"""The container's entry point: `python -m components.promotion`."""

from __future__ import annotations

from components.core.runner import stage_main
from components.promotion.config import Config
from components.promotion.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("promotion", Config, IO, run))
