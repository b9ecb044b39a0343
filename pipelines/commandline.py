"""What the commands share: options, checks before anything starts, and how errors end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from components.core.stage.errors import ConfigError, StageError
from components.core.stage.settings import nearest
from components.stages import TASKS

ProfileOption = Annotated[Path, typer.Option("--profile", "-p", help="Run profile (YAML).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Override one setting; may be repeated."),
]
DEFAULT_PROFILE = Path("configs/demo.yaml")


def refuse_stale_images() -> None:
    """Before a pipeline goes to a cluster: no released image may be of other code than the tree.

    Raises:
        ConfigError: naming each such image.
    """
    from components.core.stage.container_image import stale_digests

    stale = [f"images/digests.yaml: {stage}: {why}" for stage, why in stale_digests().items()]
    if stale:
        raise ConfigError(
            "\n".join([*stale, "build and push them with `make images ARGS=--push`, or delete the entries"])
        )


def known_task(name: str, option: str = "--from") -> str:
    """`name`, if the pipeline has such a task.

    Raises:
        ConfigError: it has not; the nearest name is given.
    """
    if name not in TASKS:
        raise ConfigError(f"{option} {name}: unknown task{nearest(name, list(TASKS))}")
    return name


@contextmanager
def clear_errors(
    interrupted: str = "interrupted; the same command continues where this one stopped",
) -> Iterator[None]:
    """The message alone as the last line, and the exit code that belongs to it.

    Args:
        interrupted: what to say when the user interrupts.
    """
    try:
        yield
    except StageError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        typer.echo(f"\n{interrupted}", err=True)
        raise typer.Exit(getattr(error, "exit_code", 130)) from error
