"""A stage's entry point: what has to happen before any library is imported."""

from __future__ import annotations

from typing import NoReturn

from components.core.cores import limit_threads
from components.core.stage.errors import StageError
from components.core.stage.log import get_logger


def main(stage: str) -> NoReturn:
    """`python -m components.<stage>`: run what the stage's folder holds, and end the process.

    Libraries start their threads when they are imported, so the runner is imported after they are limited.
    """
    try:
        limit_threads()
    except StageError as error:
        get_logger(stage).error("%s", error, extra={"exit_code": error.exit_code})
        raise SystemExit(error.exit_code) from error
    from components.core.stage.runner import run_stage

    raise SystemExit(run_stage(stage))
