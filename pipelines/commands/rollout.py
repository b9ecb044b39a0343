"""The commands of a serving pod: `python -m pipelines rollout fetch | watch`; the chart runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from components.core.registry import DomainRegistry
from pipelines.commands.shared import clear_errors

app = typer.Typer(no_args_is_help=True, help=__doc__)
RegistryOption = Annotated[str, typer.Option("--registry", "-r", help="Directory or s3://bucket/prefix.")]
DomainOption = Annotated[str, typer.Option("--domain", "-d", help="Name of the domain.")]
FolderOption = Annotated[Path, typer.Option(help="Where the checkpoint and its version's number lie.")]


@app.command()
@clear_errors()
def fetch(
    registry: RegistryOption,
    domain: DomainOption = "default",
    folder: FolderOption = Path("/model"),
    version: Annotated[
        str, typer.Option(envvar="VLM_VERSION", help="Number of the version; empty: the current one.")
    ] = "",
) -> None:
    """Copy a version's checkpoint before its server starts, every file checked."""
    from pipelines.serving.rollout import fetch as fetch_version

    typer.echo(f"version {fetch_version(DomainRegistry(registry, domain), version, folder)}")


@app.command()
@clear_errors("")
def watch(
    registry: RegistryOption,
    name: Annotated[str, typer.Option(help="Name of the Deployment or InferenceService.")],
    namespace: Annotated[str, typer.Option(envvar="VLM_NAMESPACE", help="Its namespace.")],
    domain: DomainOption = "default",
    folder: FolderOption = Path("/model"),
    kind: Annotated[
        Literal["Deployment", "InferenceService"], typer.Option(help="What it is.")
    ] = "Deployment",
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 10,
) -> None:
    """Roll a Deployment over whenever the registry's pointer moves, forwards or back."""
    from pipelines.serving.rollout import VERSION_FILE, KubernetesObject
    from pipelines.serving.rollout import watch as follow

    served = (folder / VERSION_FILE).read_text(encoding="utf-8").strip()
    cluster = KubernetesObject(kind, name, namespace)
    follow(DomainRegistry(registry, domain), cluster, served, typer.echo, every_s=every)
