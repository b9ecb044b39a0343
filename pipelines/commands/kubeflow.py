"""The commands for runs on Kubeflow: compile, submit, status, logs, rerun, schedule."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from components.core.stage.errors import ConfigError, EndpointError
from pipelines.commands.shared import (
    DEFAULT_PROFILE,
    AccountOption,
    HostOption,
    NamespaceOption,
    ProfileOption,
    SetOption,
    clear_errors,
    connected,
    known_task,
    refuse_stale_images,
)
from pipelines.profile.run_profile import Profile, load_profile
from pipelines.profile.texts import check_texts

if TYPE_CHECKING:
    from pipelines.graph.compiled import Compiled
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.schedules import Removal

app = typer.Typer()
schedule_app = typer.Typer(
    no_args_is_help=True, help="Recurring runs on Kubeflow: create, list, replace, delete."
)
app.add_typer(schedule_app, name="schedule")
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the recurring run.")]
WaitOption = Annotated[bool, typer.Option(help="Follow the run to its end.")]


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
    from pipelines.graph.post_training import compile_pipeline

    refuse_stale_images()
    checked = load_profile(profile, set_ or [])
    _refuse_unfit(checked)
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
    name: Annotated[
        str, typer.Option(help="Name of the run. [default: the profile's, and what was set]")
    ] = "",
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
        _refuse_unfit(checked, **({"--name": name} if name else {}))
        kubeflow, version, compiled = _uploaded(checked, set_ or [], host, namespace)
        title = name or runs.titled(checked.name, set_ or [])
        with explained():
            run_id = runs.start(kubeflow, version, title, service_account, runs.settings_of(compiled))
    _follow(kubeflow, run_id, "started run", wait)


def _refuse_unfit(profile: Profile, **names: str) -> None:
    """Refuse what would not arrive on Kubeflow: the texts, and the length of a task's settings."""
    from pipelines.graph.lengths import refuse_long_settings

    check_texts(profile, **names)
    refuse_long_settings(profile)


def _uploaded(
    profile: Profile, changed: list[str], host: str, namespace: str
) -> tuple[Kubeflow, dict[str, str], Compiled]:
    """The connection, the ids of the version that the profile compiles to, and what it compiles to."""
    from pipelines.graph.compiled import Compiled
    from pipelines.graph.post_training import compile_pipeline
    from pipelines.kubeflow.client import explained
    from pipelines.kubeflow.runs import titled

    refuse_stale_images()
    kubeflow = connected(host, namespace)
    with explained(), tempfile.TemporaryDirectory() as folder:
        ir = compile_pipeline(profile, Path(folder) / "post_training.yaml")
        version = kubeflow.version(ir, titled(profile.name, changed))
        return kubeflow, version, Compiled.read(ir)


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
        from pipelines.kubeflow import reasons, runs

        kubeflow = connected(host, namespace)
        if wait:
            runs.follow(kubeflow, run_id, typer.echo)
            return
        seen = runs.look(kubeflow, run_id)
        why = runs.failures(kubeflow, seen) if "FAILED" in (t.state for t in seen.tasks.values()) else {}
        for task, state in seen.tasks.items():
            said = why.get(task) or reasons.waiting(task, state)
            typer.echo(f"{task}: {runs.described(state)}{f' ({said})' if said else ''}")
        if seen.workflow:
            notes = [f"{name}: {said}" for name, said in seen.workflow.problems.items() if not why]
            for note in filter(None, [*notes, reasons.retries_note(seen.workflow)]):
                typer.echo(note)
        ended = str(seen.run.state or "pending").lower()
        typer.echo(f"run {run_id}: {ended}: {kubeflow.link('runs', run_id)}")
        if gone := runs.gone(kubeflow, seen):
            typer.echo(runs.gone_text(seen, gone))


@app.command()
@clear_errors("the task goes on")
def logs(
    run_id: RunArgument,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task of the run, e.g. sft_1_domain.")],
    host: HostOption = "",
    namespace: NamespaceOption = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task ends.")] = False,
    tail: Annotated[int, typer.Option(min=0, help="Only so many lines from the end; 0: all.")] = 0,
) -> None:
    """Print what a task of a run wrote.

    From its pod, which needs access to the Kubernetes API (KUBECONFIG). When that is gone, from Kubeflow's
    object store, which needs S3_ENDPOINT and its keys. Kubeflow's address helps to find the log there.
    """
    from pipelines.kubeflow.client import OWN_NAMESPACE, address
    from pipelines.kubeflow.logs import lines

    known_task(task, "TASK")
    workflow, place = None, namespace or OWN_NAMESPACE
    if address(host):
        from pipelines.kubeflow import runs

        with contextlib.suppress(EndpointError):  # pods can be found without it
            kubeflow = connected(host, namespace)
            workflow = runs.look(kubeflow, run_id).workflow
            place = (workflow and workflow.namespace) or kubeflow.pods
    for line in lines(run_id, task, place, workflow, follow, tail):
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
        from pipelines.kubeflow.rerun import decide

        known_task(from_)
        refuse_stale_images()
        checked = load_profile(profile, set_ or [])
        _refuse_unfit(checked)
        with tempfile.TemporaryDirectory() as folder:
            ir = Path(folder) / "post_training.yaml"
            decided = decide(connected(host, namespace), run_id, from_, checked, ir)
            for line in decided.explanation():
                typer.echo(line)
            if dry_run:
                return
            started = decided.carry_out(service_account, set_ or [])
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
    checked = load_profile(profile, set_ or [])
    _refuse_unfit(checked, NAME=name)
    kubeflow, version, _ = _uploaded(checked, set_ or [], host, namespace)
    make = schedules.create if ctx.info_name == "create" else schedules.replace
    made, removal = make(kubeflow, schedules.Schedule(name, moved, version, service_account))
    _tell(name, removal)
    typer.echo(f"recurring run {name}, {moved} ({kubeflow_timezone}): {kubeflow.link('recurringrun', made)}")


@schedule_app.command("list")
@clear_errors()
def schedule_list(host: HostOption = "", namespace: NamespaceOption = "") -> None:
    """Name, state, cron expression, version and id of every recurring run.

    Deletes those that were replaced or deleted while a run of theirs was under way, if it has ended.
    """
    from pipelines.kubeflow import schedules

    found, removals = schedules.listed(connected(host, namespace))
    for name, removal in removals.items():
        _tell(name, removal)
    for run in found:
        cron = run.trigger.cron_schedule.cron if run.trigger and run.trigger.cron_schedule else "-"
        version = getattr(run.pipeline_version_reference, "pipeline_version_id", "-")
        state = str(run.status or run.mode or "unknown").lower()
        typer.echo(f"{run.display_name}  {state}  {cron}  version {version}  {run.recurring_run_id}")
    if not found:
        typer.echo("no recurring runs")


@schedule_app.command("delete")
@clear_errors()
def schedule_delete(
    name: NameArgument,
    host: HostOption = "",
    namespace: NamespaceOption = "",
    force: Annotated[bool, typer.Option("--force", help="End its runs under way too.")] = False,
) -> None:
    """Delete the recurring run of this name. One with a run under way is disabled, and deleted later."""
    from pipelines.kubeflow import schedules

    removal = schedules.delete(connected(host, namespace), name, force)
    _tell(name, removal)
    count = removal.deleted
    if count or not removal.kept:
        typer.echo(f"deleted {count} recurring run{'' if count == 1 else 's'} named {name}")


def _tell(name: str, removal: Removal) -> None:
    for note in removal.notes(name):
        typer.echo(note)
