"""`python -m components.preflight`: the container's entry point."""

from __future__ import annotations

from components.core.runner import stage_main
from components.preflight.config import Config
from components.preflight.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("preflight", Config, IO, run))
