"""The model registry: `python -m pipelines registry list | show | rollback | fetch | prune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from components.core.registry import DomainRegistry
from pipelines.commands.shared import clear_errors

app = typer.Typer(no_args_is_help=True, help=__doc__)

RootOption = Annotated[str, typer.Option("--registry", "-r", help="Directory or s3://bucket/prefix.")]
DomainOption = Annotated[str, typer.Option("--domain", "-d", help="Name of the domain.")]
NumberOption = Annotated[
    int, typer.Option("--version", "-n", help="Number of the version; 0: the current one.")
]


@app.command("list")
@clear_errors()
def list_(registry: RootOption, domain: DomainOption = "default") -> None:
    """Versions with their verdicts, the pointer's moves, and unfinished promotions."""
    opened = DomainRegistry(registry, domain)
    current = opened.pointer().version
    for version in opened.versions():
        mark = "*" if version.number == current else " "
        verdict = "passed" if version.passed else "failed"
        digest = version.manifest["checkpoint_digest"][:12]
        typer.echo(f"{mark} {version.number:4d}  {verdict}  {digest}  {version.uri}")
    for move in opened.pointers():
        typer.echo(f"pointer {move.sequence}: {move.action} to {move.version}")
    why = "a promotion under way, or killed and never run again: `prune` removes it"
    for number in opened.unfinished():
        typer.echo(f"unfinished: {number} ({why})")


@app.command()
@clear_errors()
def show(registry: RootOption, domain: DomainOption = "default", version: NumberOption = 0) -> None:
    """Verdict and lineage of a version, as JSON."""
    opened = DomainRegistry(registry, domain)
    found = opened.version(version or opened.pointer().version)
    parts = {name: json.loads(opened.read(found, f"{name}.json")) for name in ("verdict", "lineage")}
    typer.echo(json.dumps({"version": found.number, "uri": found.uri, **parts}, indent=1, sort_keys=True))


@app.command()
@clear_errors()
def fetch(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to put the files.")],
    registry: RootOption,
    domain: DomainOption = "default",
    version: NumberOption = 0,
) -> None:
    """Copy a version's checkpoint to a directory, every file checked."""
    opened = DomainRegistry(registry, domain)
    found = opened.version(version or opened.pointer().version)
    typer.echo(opened.fetch(found, out, under="checkpoint/") / "checkpoint")


@app.command()
@clear_errors()
def rollback(
    registry: RootOption,
    domain: DomainOption = "default",
    to: Annotated[int, typer.Option(help="Version to return to; 0: the one before the current.")] = 0,
) -> None:
    """Make an earlier version current again. A promotion run again does not undo it."""
    moved = DomainRegistry(registry, domain).rollback(to or None)
    typer.echo(f"current version of {domain}: {moved.version}")


@app.command()
@clear_errors()
def prune(
    registry: RootOption,
    version: Annotated[int, typer.Option("--version", "-n", help="An unfinished version's number.")],
    domain: DomainOption = "default",
) -> None:
    """Delete the files of a version that was never finished. Published versions are never deleted."""
    typer.echo(f"deleted {DomainRegistry(registry, domain).prune(version)} files")
