"""Entry point: python -m components.hybrid_rl"""

from components.core.runner import stage_main
from components.hybrid_rl.config import Config
from components.hybrid_rl.stage import IO, run

if __name__ == "__main__":
    raise SystemExit(stage_main("hybrid_rl", Config, IO, run))
