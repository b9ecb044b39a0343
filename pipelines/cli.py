"""The command line: `python -m pipelines run | compile | report` (installed as `vlm-posttrain`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from components.core.config import nearest
from components.core.errors import ConfigError, NoInputError, StageError
from pipelines import registry
from pipelines.profile import Profile, load_profile
from pipelines.sections import TASKS

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

app.add_typer(registry.app, name="registry")

ProfileOption = Annotated[Path, typer.Option("--profile", "-p", help="Run profile (YAML).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Override one setting; may be repeated."),
]
DEFAULT_PROFILE = Path("configs/demo.yaml")


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


@app.command("compile")
def compile_(
    profile: ProfileOption = DEFAULT_PROFILE,
    set_: SetOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the IR.")] = Path(
        "build/post_training.yaml"
    ),
) -> None:
    """Write the pipeline as a file to upload to Kubeflow, with the profile's settings as defaults."""
    with clear_errors():
        from pipelines.post_training import compile_pipeline

        refuse_stale_images()
        typer.echo(f"wrote {compile_pipeline(load_profile(profile, set_ or []), output)}")


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
        from pipelines.compare import write_comparison

        written = write_comparison(run_a, run_b, output or run_b / "compare.html", model)
        typer.echo(f"comparison: {written}")


HostOption = Annotated[str, typer.Option(help="Address of Kubeflow Pipelines. [default: $KFP_ENDPOINT]")]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the runs.")]


@app.command()
def submit(
    profile: ProfileOption = DEFAULT_PROFILE,
    set_: SetOption = None,
    host: HostOption = "",
    namespace: NamespaceOption = "",
    name: Annotated[str, typer.Option(help="Name of the run. [default: the profile's]")] = "",
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = True,
) -> None:
    """Start a run on Kubeflow, and follow it.

    Exit code 0: succeeded; 1: failed; 3: canceled. Ctrl-C ends the following, not the run.
    """
    with clear_errors():
        from pipelines.kubeflow import connect

        refuse_stale_images()
        checked = load_profile(profile, set_ or [])
        kubeflow = connect(host, namespace)
        run_id = kubeflow.submit(checked, Path("build/kubeflow"), name or checked.name)
        typer.echo(f"started run {run_id}; follow it with: vlm-posttrain status {run_id} --wait")
        if wait:
            kubeflow.follow(run_id, typer.echo)


@app.command()
def status(
    run_id: Annotated[str, typer.Argument(help="Id of the run.")],
    host: HostOption = "",
    namespace: NamespaceOption = "",
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = False,
) -> None:
    """Show the state of a run on Kubeflow and of its tasks."""
    with clear_errors():
        from pipelines.kubeflow import connect, explained, task_states

        kubeflow = connect(host, namespace)
        if wait:
            kubeflow.follow(run_id, typer.echo)
            return
        with explained():
            found = kubeflow.client.get_run(run_id)
        for task, state in task_states(found).items():
            typer.echo(f"{task}: {state.lower()}")
        typer.echo(f"run {run_id}: {str(found.state).lower()}")


@app.command()
def schedule(
    name: Annotated[str, typer.Argument(help="Name of the recurring run.")],
    profile: ProfileOption = DEFAULT_PROFILE,
    set_: SetOption = None,
    cron: Annotated[str, typer.Option(help="Six fields, seconds first.")] = "0 0 1 * * *",
    timezone: Annotated[str, typer.Option(help="Of the cron expression.")] = "Etc/UTC",
    delete: Annotated[bool, typer.Option("--delete", help="Delete it instead.")] = False,
    host: HostOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Make a recurring run on Kubeflow, replacing the one of this name."""
    with clear_errors():
        from pipelines.kubeflow import connect

        if delete:
            typer.echo(f"deleted {connect(host, namespace).unschedule(name)} recurring runs named {name}")
            return
        refuse_stale_images()
        checked = load_profile(profile, set_ or [])
        made = connect(host, namespace).schedule(checked, Path("build/kubeflow"), name, cron, timezone)
        typer.echo(f"recurring run {name}: {made}")


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
    from pipelines.containers import Containers
    from pipelines.local import LocalRun, TaskFailed, TaskResult
    from pipelines.post_training import compile_pipeline
    from pipelines.storage import StoredRun

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


def refuse_stale_images() -> None:
    """Before a pipeline goes to a cluster: no released image may be of other code than the tree.

    Raises:
        ConfigError: naming each such image.
    """
    from components.core.images import stale_digests

    stale = [f"images/digests.yaml: {stage}: {why}" for stage, why in stale_digests().items()]
    if stale:
        raise ConfigError(
            "\n".join([*stale, "build and push them with `make images ARGS=--push`, or delete the entries"])
        )


def _conclude(root: Path) -> None:
    from pipelines.report import load_summary, summary_text, write_report, write_summary

    summary = load_summary(root)
    if summary is not None:
        typer.echo("\n" + summary_text(summary))
        typer.echo(f"summary: {write_summary(root, summary)}")
    typer.echo(f"report:  {write_report(root)}")


def known_task(name: str) -> str:
    """`name`, if the pipeline has such a task.

    Raises:
        ConfigError: it has not; the nearest name is given.
    """
    if name not in TASKS:
        raise ConfigError(f"--from {name}: unknown task{nearest(name, list(TASKS))}")
    return name


@contextmanager
def clear_errors() -> Iterator[None]:
    """The message alone as the last line, and the exit code that belongs to it."""
    try:
        yield
    except StageError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        typer.echo("\ninterrupted; the same command continues where this one stopped", err=True)
        raise typer.Exit(getattr(error, "exit_code", 130)) from error


def main(argv: list[str] | None = None) -> Any:
    """Entry point of the console script."""
    return app(argv)
