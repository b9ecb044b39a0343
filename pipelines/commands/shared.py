"""Common parts of the commands: options, checks before anything starts, and how errors end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.core.stage.container_image import stale_digests
from components.core.stage.errors import ConfigError, StageError
from components.core.stage.settings import nearest
from components.stages import TASKS

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow

ProfileOption = Annotated[Path, typer.Option("--profile", "-p", help="Run profile (YAML).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Override one setting; may be repeated."),
]
HostOption = Annotated[str, typer.Option(help="Address of Kubeflow Pipelines. [default: $KFP_ENDPOINT]")]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the runs.")]
AccountOption = Annotated[
    str, typer.Option("--service-account", help="Kubernetes account of the run's pods. [default: Kubeflow's]")
]
DEFAULT_PROFILE = Path("configs/demo.yaml")


def refuse_stale_images() -> None:
    """Before a pipeline goes to a cluster: no released image may be of other code than the tree.

    Raises:
        ConfigError: naming each such image.
    """
    stale = [f"images/digests.yaml: {stage}: {why}" for stage, why in stale_digests().items()]
    if stale:
        advice = "build and push them with `make images ARGS=--push`, or delete the entries"
        raise ConfigError("\n".join([*stale, advice]))


def known_task(name: str, option: str = "--from") -> str:
    """`name`, if the pipeline has such a task.

    Raises:
        ConfigError: it has not; the nearest name is given.
    """
    if name not in TASKS:
        raise ConfigError(f"{option} {name}: unknown task{nearest(name, list(TASKS))}")
    return name


def connected(host: str, namespace: str) -> Kubeflow:
    """The connection to Kubeflow; says what it makes of the namespace, where it makes nothing of it."""
    from pipelines.kubeflow.client import connect

    kubeflow = connect(host, namespace)
    if kubeflow.note:
        typer.echo(kubeflow.note, err=True)
    return kubeflow


@contextmanager
def clear_errors(
    interrupted: str = "interrupted; the same command continues where this one stopped",
) -> Iterator[None]:
    """End with an error's message alone as the last line, `interrupted` for Ctrl-C, and its exit code."""
    try:
        yield
    except StageError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        typer.echo(f"\n{interrupted}", err=True)
        raise typer.Exit(getattr(error, "exit_code", 130)) from error
