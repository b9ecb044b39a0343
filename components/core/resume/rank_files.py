"""Files by which the ranks of one launch wait for each other."""

from __future__ import annotations

import os
import time
from pathlib import Path

from components.core.training.launch import LAUNCH_ENV

_POLL_S = 0.1


def launch_id() -> str:
    """Id of the launch that started this rank; "" without one. In a file's name it tells attempts apart."""
    return os.environ.get(LAUNCH_ENV, "")


def wait_for(path: Path) -> Path:
    """`path`, once another rank has written it. The launcher stops the ranks if one of them fails."""
    while not path.exists():
        time.sleep(_POLL_S)
    return path
