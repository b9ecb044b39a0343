"""The commands for recurring runs on Kubeflow: schedule create, replace, list, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands.kubeflow import uploaded
from pipelines.commands.shared import (
    DEFAULT_PROFILE,
    AccountOption,
    HostOption,
    NamespaceOption,
    ProfileOption,
    SetOption,
    clear_errors,
)
from pipelines.profile.run_profile import load_profile

app = typer.Typer(no_args_is_help=True, help="Recurring runs on Kubeflow: create, list, replace, delete.")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the recurring run.")]


@app.command("create", help="Make a recurring run. No catch-up, one run at a time.")
@app.command(
    "replace",
    help="Make a recurring run, in place of one of this name. At no time are two enabled.",
)
def make(
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
    with clear_errors("interrupted; `schedule list` says what there is, `schedule replace` finishes it"):
        from pipelines.kubeflow import schedules
        from pipelines.kubeflow.cron import in_kubeflow_zone

        moved = in_kubeflow_zone(cron, timezone, kubeflow_timezone)
        kubeflow, pipeline, version = uploaded(load_profile(profile, set_ or []), host, namespace)
        wanted = schedules.Schedule(name, moved, pipeline, version, service_account)
        made = (schedules.create if ctx.info_name == "create" else schedules.replace)(kubeflow, wanted)
        typer.echo(
            f"recurring run {name}, {moved} ({kubeflow_timezone}): {kubeflow.link('recurringrun', made)}"
        )


@app.command("list")
def list_(host: HostOption = "", namespace: NamespaceOption = "") -> None:
    """Name, state, cron expression, version and id of every recurring run."""
    with clear_errors():
        from pipelines.kubeflow import schedules
        from pipelines.kubeflow.client import connect

        found = schedules.listed(connect(host, namespace))
        for run in found:
            cron = run.trigger.cron_schedule.cron if run.trigger and run.trigger.cron_schedule else "-"
            reference = run.pipeline_version_reference
            version = reference.pipeline_version_id if reference else "-"
            state = str(run.status or run.mode or "unknown").lower()
            typer.echo(f"{run.display_name}  {state}  {cron}  version {version}  {run.recurring_run_id}")
        if not found:
            typer.echo("no recurring runs")


@app.command()
def delete(name: NameArgument, host: HostOption = "", namespace: NamespaceOption = "") -> None:
    """Delete the recurring run of this name. Runs that it has started go on."""
    with clear_errors():
        from pipelines.kubeflow import schedules
        from pipelines.kubeflow.client import connect

        count = schedules.delete(connect(host, namespace), name)
        typer.echo(f"deleted {count} recurring run{'s' if count > 1 else ''} named {name}")
