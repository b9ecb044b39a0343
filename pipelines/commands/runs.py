"""The commands for runs on this machine: run, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.core.stage.errors import NoInputError
from pipelines.commands.shared import DEFAULT_PROFILE, ProfileOption, SetOption, clear_errors, known_task
from pipelines.profile.run_profile import load_profile

app = typer.Typer()


@app.command()
@clear_errors()
def run(
    profile: ProfileOption = DEFAULT_PROFILE,
    set_: SetOption = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TASK", help="Run this task, and what depends on it, again."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Directory of the run. [default: build/runs/<profile name>]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved profile and stop.")] = False,
    containers: Annotated[
        bool, typer.Option("--containers", help="Run each stage in a container of its image.")
    ] = False,
    network: Annotated[
        str, typer.Option(help="Network of the containers: host, none, or one of the engine's.")
    ] = "host",
    storage: Annotated[
        str, typer.Option(metavar="s3://BUCKET/PREFIX", help="Keep the run in object storage as well.")
    ] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Lines on a terminal too, no live view.")] = False,
) -> None:
    """Run the compiled pipeline on this machine.

    Tasks that a run in the same directory finished with the same settings, inputs and code are not run again.
    A stage that was interrupted continues where it was. With --storage also on another machine
    (docs/storage.md).
    """
    checked = load_profile(profile, set_ or [])
    rerun = known_task(from_) if from_ else None
    if dry_run:
        typer.echo(checked.as_yaml(), nl=False)
        return
    from pipelines.local.run import run_locally

    directory = root or Path("build/runs") / checked.name
    run_locally(checked, directory, rerun, network if containers else None, storage, plain)


@app.command()
@clear_errors()
def report(root: Annotated[Path, typer.Option(help="Directory of the run.")]) -> None:
    """Join the stages' reports of a run into report.html, write summary.json and print the table."""
    from pipelines.report.page import conclude

    if not (root / "outputs").is_dir():
        raise NoInputError(f"{root}: no run has finished a task there")
    conclude(root, typer.echo)


@app.command()
@clear_errors()
def compare(
    run_a: Annotated[Path, typer.Argument(help="Directory of the first run.")],
    run_b: Annotated[Path, typer.Argument(help="Directory of the second run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page. [default: RUN_B/compare.html]")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Whose items are shown in detail. [default: the last one that both evaluated]")
    ] = "",
) -> None:
    """Compare two runs: metrics with paired differences, categories, and the items that flipped."""
    from pipelines.report.compare import write_comparison

    written = write_comparison(run_a, run_b, output or run_b / "compare.html", model)
    typer.echo(f"comparison: {written}")
