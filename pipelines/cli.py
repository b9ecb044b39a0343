"""The command line: `python -m pipelines run | report | submit | ...` (installed as `vlm-posttrain`)."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from components.core.stage.errors import NoInputError, StageError
from components.stages import TASKS
from pipelines import registry
from pipelines.commandline import DEFAULT_PROFILE, ProfileOption, SetOption
from pipelines.commandline import clear_errors as clear_errors
from pipelines.commandline import known_task as known_task
from pipelines.kubeflow import commands
from pipelines.profile.run_profile import Profile, load_profile

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

app.add_typer(registry.app, name="registry")
app.add_typer(commands.app)


@app.command()
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
) -> None:
    """Run the compiled pipeline on this machine.

    What an earlier run in the same directory finished with the same settings, inputs and code is taken from there; a
    stage that was interrupted continues where it was. With --storage also on another machine (docs/storage.md).
    """
    with clear_errors():
        checked = load_profile(profile, set_ or [])
        rerun = known_task(from_) if from_ else None
        if dry_run:
            typer.echo(checked.as_yaml(), nl=False)
            return
        run_profile(
            checked,
            root or Path("build/runs") / checked.name,
            rerun,
            network if containers else None,
            storage,
        )


@app.command()
def report(root: Annotated[Path, typer.Option(help="Directory of the run.")]) -> None:
    """Join the stages' reports of a run into report.html, write summary.json and print the table."""
    with clear_errors():
        if not (root / "outputs").is_dir():
            raise NoInputError(f"{root}: no run has finished a task there")
        _conclude(root)


@app.command()
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
    with clear_errors():
        from pipelines.report.compare import write_comparison

        written = write_comparison(run_a, run_b, output or run_b / "compare.html", model)
        typer.echo(f"comparison: {written}")


def run_profile(
    profile: Profile,
    root: Path,
    rerun: str | None = None,
    container_network: str | None = None,
    storage: str = "",
) -> None:
    """Compile the pipeline for `profile` and run that very file below `root`; with a network, in containers on it.

    With `storage`, an `s3://` URI, the run goes on from there, and what a task finishes is there before the next begins.

    Raises:
        StageError: with the message and exit code of the stage that failed.
        Interrupted: by Ctrl-C or SIGTERM.
    """
    from pipelines.graph.post_training import compile_pipeline
    from pipelines.local.containers import Containers
    from pipelines.local.run import LocalRun, TaskFailed, TaskResult
    from pipelines.local.storage import StoredRun

    started = time.monotonic()
    out = sys.stdout

    def say(text: str) -> None:
        print(text, file=out, flush=True)

    stored = StoredRun(root, storage, say) if storage else None
    ir = compile_pipeline(profile, root / "post_training.yaml")

    def place(task: str) -> str:
        return f"{TASKS.index(task) + 1:2d}/{len(TASKS)} {task}"

    def done(result: TaskResult) -> None:
        say(f"{place(result.task)}: {'cached' if result.cached else f'done in {result.seconds:.1f} s'}")
        if stored and not result.cached:
            stored.save()

    local_run = LocalRun(
        root=root,
        order=TASKS,
        rerun=rerun,
        on_start=lambda task: say(f"{place(task)} ..."),
        on_done=done,
        console=out.buffer,
        containers=Containers(profile, container_network, storage=storage) if container_network else None,
        storage=storage,
    )
    try:
        local_run.execute(ir)
    except TaskFailed as error:
        say(f"{place(error.task)}: failed; its output is in {root}/logs/{error.task}.log")
        failure = StageError(str(error))
        failure.exit_code = error.exit_code
        raise failure from error
    if local_run.skipped:
        say(f"too few new pictures: the other tasks are skipped; {time.monotonic() - started:.1f} s")
        return
    say(f"all {len(TASKS)} tasks done in {time.monotonic() - started:.1f} s")
    _conclude(root)
    if stored:
        stored.save(last=True)


def _conclude(root: Path) -> None:
    from pipelines.report.page import load_summary, summary_text, write_report, write_summary

    summary = load_summary(root)
    if summary is not None:
        typer.echo("\n" + summary_text(summary))
        typer.echo(f"summary: {write_summary(root, summary)}")
    typer.echo(f"report:  {write_report(root)}")


def main(argv: list[str] | None = None) -> Any:
    """Entry point of the console script."""
    return app(argv)
