"""The commands for runs on Kubeflow: compile, submit, status, logs, rerun, schedule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from components.core.stage.errors import ConfigError
from pipelines.commands.shared import (
    DEFAULT_PROFILE,
    AccountOption,
    HostOption,
    NamespaceOption,
    ProfileOption,
    SetOption,
    clear_errors,
    known_task,
    refuse_stale_images,
)
from pipelines.profile.run_profile import Profile, load_profile

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow

app = typer.Typer()
schedule_app = typer.Typer(
    no_args_is_help=True, help="Recurring runs on Kubeflow: create, list, replace, delete."
)
app.add_typer(schedule_app, name="schedule")
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the recurring run.")]
WaitOption = Annotated[bool, typer.Option(help="Follow the run to its end.")]
COMPILED = Path("build/kubeflow/post_training.yaml")


@app.command("compile")
@clear_errors()
def compile_(
    profile: ProfileOption = DEFAULT_PROFILE,
    set_: SetOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where to write. [default: build/post_training.yaml, .manifest.yaml]"
        ),
    ] = None,
    format_: Annotated[
        Literal["ir", "manifest"],
        typer.Option(
            "--format",
            help="ir: a file to upload. manifest: Pipeline and PipelineVersion resources for kubectl apply.",
        ),
    ] = "ir",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Namespace written into the manifests.")
    ] = "",
) -> None:
    """Write the pipeline for Kubeflow, with the profile's settings as defaults."""
    from pipelines.graph.compiled import compile_manifests
    from pipelines.graph.lengths import refuse_long_settings
    from pipelines.graph.post_training import compile_pipeline

    refuse_stale_images()
    checked = load_profile(profile, set_ or [])
    refuse_long_settings(checked)
    if format_ == "manifest":
        written = compile_manifests(checked, output or Path("build/post_training.manifest.yaml"), namespace)
    elif namespace:
        raise ConfigError("--namespace only goes with --format manifest: an IR names none")
    else:
        written = compile_pipeline(checked, output or Path("build/post_training.yaml"))
    typer.echo(f"wrote {written}")


@app.command()
def submit(
    profile: ProfileOption = DEFAULT_PROFILE,
    set_: SetOption = None,
    host: HostOption = "",
    namespace: NamespaceOption = "",
    name: Annotated[str, typer.Option(help="Name of the run. [default: the profile's]")] = "",
    service_account: AccountOption = "",
    wait: WaitOption = True,
) -> None:
    """Start a run on Kubeflow, and follow it.

    Exit code 0: succeeded; 1: failed; 3: canceled. Ctrl-C ends the following, not the run.
    """
    with clear_errors("interrupted; if a run was started by then, Kubeflow lists it"):
        from pipelines.kubeflow import runs
        from pipelines.kubeflow.client import explained

        checked = load_profile(profile, set_ or [])
        kubeflow, version = _uploaded(checked, host, namespace)
        with explained():
            run_id = runs.start(kubeflow, version, name or checked.name, service_account)
    _follow(kubeflow, run_id, "started run", wait)


def _uploaded(profile: Profile, host: str, namespace: str) -> tuple[Kubeflow, dict[str, str]]:
    """The connection, and the ids of the version that the profile compiles to."""
    from pipelines.graph.lengths import refuse_long_settings
    from pipelines.graph.post_training import compile_pipeline
    from pipelines.kubeflow.client import connect, explained

    refuse_stale_images()
    refuse_long_settings(profile)
    kubeflow = connect(host, namespace)
    with explained():
        return kubeflow, kubeflow.version(compile_pipeline(profile, COMPILED))


def _follow(kubeflow: Kubeflow, run_id: str, what: str, wait: bool) -> None:
    """Say which run it is and where to see it; with `wait`, follow it to its end."""
    from pipelines.kubeflow import runs

    again = f"vlm-posttrain status {run_id} --wait"
    with clear_errors(f"the run goes on; follow it with: {again}"):
        typer.echo(f"{what} {run_id}: {kubeflow.link('runs', run_id)}")
        if wait:
            runs.follow(kubeflow, run_id, typer.echo)
        else:
            typer.echo(f"follow it with: {again}")


@app.command()
def status(
    run_id: RunArgument, host: HostOption = "", namespace: NamespaceOption = "", wait: WaitOption = False
) -> None:
    """Show the state of a run on Kubeflow and of its tasks. With --wait, exit codes are those of submit."""
    with clear_errors(f"the run goes on; follow it with: vlm-posttrain status {run_id} --wait"):
        from pipelines.kubeflow import runs
        from pipelines.kubeflow.client import connect

        kubeflow = connect(host, namespace)
        if wait:
            runs.follow(kubeflow, run_id, typer.echo)
            return
        found = runs.get(kubeflow, run_id)
        messages = runs.task_errors(found)
        for task, state in runs.task_states(found).items():
            typer.echo(f"{task}: {state.lower()}{f' ({messages[task]})' if task in messages else ''}")
        typer.echo(f"run {run_id}: {str(found.state or 'pending').lower()}: {kubeflow.link('runs', run_id)}")


@app.command()
@clear_errors("the task goes on")
def logs(
    run_id: RunArgument,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task of the run, e.g. sft_1_domain.")],
    namespace: NamespaceOption = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task ends.")] = False,
    tail: Annotated[int, typer.Option(min=0, help="Only so many lines from the end; 0: all.")] = 0,
) -> None:
    """Print what a task of a run wrote, from its pod: needs access to the Kubernetes API (KUBECONFIG)."""
    from pipelines.kubeflow.logs import lines

    for line in lines(run_id, known_task(task, "TASK"), namespace, follow, tail):
        typer.echo(line)


@app.command()
def rerun(
    run_id: RunArgument,
    from_: Annotated[str, typer.Option("--from", metavar="TASK", help="The task to begin with.")],
    profile: ProfileOption,
    set_: SetOption = None,
    host: HostOption = "",
    namespace: NamespaceOption = "",
    service_account: AccountOption = "",
    wait: WaitOption = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and stop.")] = False,
) -> None:
    """Run again from a task of an earlier run.

    Where nothing changed and the task did not succeed, this is Kubeflow's Retry of that run. Otherwise a new
    run with today's code and settings, which takes finished tasks before it from the cache; which, is said
    before it starts.
    """
    with clear_errors("interrupted; if a run was started by then, Kubeflow lists it"):
        from pipelines.graph.lengths import refuse_long_settings
        from pipelines.kubeflow.client import connect
        from pipelines.kubeflow.rerun import decide

        known_task(from_)
        refuse_stale_images()
        checked = load_profile(profile, set_ or [])
        refuse_long_settings(checked)
        decided = decide(connect(host, namespace), run_id, from_, checked, COMPILED)
        for line in decided.explanation():
            typer.echo(line)
        if dry_run:
            return
        started = decided.carry_out(service_account)
    _follow(decided.kubeflow, started, "retrying run" if started == run_id else "started run", wait)


@schedule_app.command("create", help="Make a recurring run. No catch-up, one run at a time.")
@schedule_app.command(
    "replace", help="Make a recurring run, in place of one of this name. At no time are two enabled."
)
@clear_errors("interrupted; `schedule list` says what there is, `schedule replace` finishes it")
def schedule_make(
    ctx: typer.Context,
    name: NameArgument,
    profile: ProfileOption = DEFAULT_PROFILE,
    set_: SetOption = None,
    cron: Annotated[str, typer.Option(help="Six fields, seconds first.")] = "0 0 1 * * *",
    timezone: Annotated[str, typer.Option(help="Time zone in which the cron expression is meant.")] = "UTC",
    kubeflow_timezone: Annotated[
        str,
        typer.Option(
            envvar="KFP_CRON_TIMEZONE", help="Kubeflow's own time zone, its setting cronScheduleTimezone."
        ),
    ] = "UTC",
    host: HostOption = "",
    namespace: NamespaceOption = "",
    service_account: AccountOption = "",
) -> None:
    """Make a recurring run, new or in place of the one of this name: the command's own name says which."""
    from pipelines.kubeflow import schedules
    from pipelines.kubeflow.cron import in_kubeflow_zone

    moved = in_kubeflow_zone(cron, timezone, kubeflow_timezone)
    kubeflow, version = _uploaded(load_profile(profile, set_ or []), host, namespace)
    make = schedules.create if ctx.info_name == "create" else schedules.replace
    made = make(kubeflow, schedules.Schedule(name, moved, version, service_account))
    typer.echo(f"recurring run {name}, {moved} ({kubeflow_timezone}): {kubeflow.link('recurringrun', made)}")


@schedule_app.command("list")
@clear_errors()
def schedule_list(host: HostOption = "", namespace: NamespaceOption = "") -> None:
    """Name, state, cron expression, version and id of every recurring run."""
    from pipelines.kubeflow import schedules
    from pipelines.kubeflow.client import connect

    found = schedules.listed(connect(host, namespace))
    for run in found:
        cron = run.trigger.cron_schedule.cron if run.trigger and run.trigger.cron_schedule else "-"
        version = getattr(run.pipeline_version_reference, "pipeline_version_id", "-")
        state = str(run.status or run.mode or "unknown").lower()
        typer.echo(f"{run.display_name}  {state}  {cron}  version {version}  {run.recurring_run_id}")
    if not found:
        typer.echo("no recurring runs")


@schedule_app.command("delete")
@clear_errors()
def schedule_delete(name: NameArgument, host: HostOption = "", namespace: NamespaceOption = "") -> None:
    """Delete the recurring run of this name. Runs that it has started go on."""
    from pipelines.kubeflow import schedules
    from pipelines.kubeflow.client import connect

    count = schedules.delete(connect(host, namespace), name)
    typer.echo(f"deleted {count} recurring run{'s' if count > 1 else ''} named {name}")
