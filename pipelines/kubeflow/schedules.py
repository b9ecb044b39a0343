"""Recurring runs: made, listed, replaced and deleted by name.

Kubeflow gives them ids and lets names repeat; here one name is one recurring run. A run that a recurring run
has started belongs to it: deleting the one kills the other, pods and all. So a recurring run with a run under
way is retired: disabled now, deleted by a later call, once the run has ended.

A retired one is known by a newer one of its name, because Kubeflow cannot change a recurring run. Where none
is wanted, a disabled mark stands for the newer one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import kfp_server_api

from components.core.stage.errors import ConfigError, NoInputError
from pipelines.kubeflow.client import Kubeflow, explained, pages
from pipelines.kubeflow.runs import FINISHED

MARK = "Being deleted by vlm-posttrain, once the runs of this name that are under way have ended."
"""Description of a recurring run that only says that those before it are to be deleted."""
_SETTLE_S = 5.0
"""From the moment that a recurring run is disabled to the one in which all its runs are listed."""
_END_S = 60.0
"""For so long the end of a run that `force` ended is awaited, so that Kubeflow comes to know of it."""


@dataclass(frozen=True)
class Schedule:
    """When to run what, under which name."""

    name: str
    cron: str
    """Six fields, seconds first, in Kubeflow's time zone."""
    version: Mapping[str, str]
    """As `Kubeflow.version` gives it."""
    service_account: str


@dataclass
class Removal:
    """What became of recurring runs that were to go."""

    deleted: int = 0
    kept: dict[str, list[str]] = field(default_factory=dict)
    """Id of a retired recurring run -> ids of its runs under way."""
    ended: list[str] = field(default_factory=list)
    """Ids of runs that were ended by force."""

    def notes(self, name: str) -> Iterator[str]:
        """What somebody should know about the recurring runs of this name that were to go, line by line."""
        if self.ended:
            yield f"note: ended {', '.join(self.ended)}"
        for identifier, runs in self.kept.items():
            yield (
                f"note: {name} ({identifier}) is disabled and not deleted, which would kill what it has "
                f"under way: {', '.join(runs)}; that goes on, and a later `schedule list`, `replace` or "
                "`delete` deletes the schedule (`delete --force` ends both now)"
            )


def create(kubeflow: Kubeflow, wanted: Schedule) -> tuple[str, Removal]:
    """Make a recurring run; its id, and what became of retired ones of the name.

    Raises:
        ConfigError: there is one of this name.
    """
    with explained():
        experiment = kubeflow.experiment()
        named = _named(kubeflow, experiment, wanted.name)
        if any(run not in _retired(named) and run.description != MARK for run in named):
            raise ConfigError(f"there is a schedule {wanted.name}: use `schedule replace`, or another name")
        new = _make(kubeflow, experiment, wanted, enabled=True)
        return new, _remove(kubeflow, experiment, named)


def replace(kubeflow: Kubeflow, wanted: Schedule) -> tuple[str, Removal]:
    """Make the recurring run of this name anew, or for the first time; its id, and what became of old ones.

    The new one is made disabled, the old ones are disabled and deleted or retired, then it is enabled: at no
    time are two enabled. A call that was killed in between may leave none enabled; the next one finishes it.
    """
    with explained(f"the schedule {wanted.name}"):
        experiment = kubeflow.experiment()
        old = _named(kubeflow, experiment, wanted.name)
        new = _make(kubeflow, experiment, wanted, enabled=False)
        removal = _remove(kubeflow, experiment, old)
        kubeflow.client.enable_recurring_run(new)
    return new, removal


def delete(kubeflow: Kubeflow, name: str, force: bool = False) -> Removal:
    """Delete the recurring runs of this name, or retire those with a run under way.

    Args:
        kubeflow: where they are.
        name: of the schedule.
        force: end their runs under way, and delete them.

    Raises:
        NoInputError: there is none.
    """
    with explained(f"the schedule {name}"):
        experiment = kubeflow.experiment(make=False)
        found = _named(kubeflow, experiment, name)
        if not found:
            raise NoInputError(f"there is no schedule {name}; `schedule list` names those there are")
        marks = [run for run in found if run.description == MARK]
        removal = _remove(kubeflow, experiment, [run for run in found if run not in marks], force)
        if removal.kept and not marks:
            _mark(kubeflow, experiment, found[-1])
        if not removal.kept:
            _delete(kubeflow, marks)
    return removal


def listed(kubeflow: Kubeflow) -> tuple[list[Any], Mapping[str, Removal]]:
    """Every recurring run of ours in the namespace, by name, and what became of retired ones."""
    with explained():
        experiment = kubeflow.experiment(make=False)
        by_name: dict[str, list[Any]] = {}
        for run in _all(kubeflow, experiment):
            by_name.setdefault(str(run.display_name), []).append(run)
        removals = {name: _sweep(kubeflow, experiment, named) for name, named in by_name.items()}
        left = [run for run in _all(kubeflow, experiment) if run.description != MARK]
    return sorted(left, key=lambda run: (str(run.display_name), _made(run))), removals


def _sweep(kubeflow: Kubeflow, experiment: str | None, named: list[Any]) -> Removal:
    """Delete the retired ones among the recurring runs of one name that can go by now."""
    removal = _remove(kubeflow, experiment, _retired(named))
    if not removal.kept:
        _delete(kubeflow, [run for run in named if run.description == MARK])
    return removal


def _retired(named: list[Any]) -> list[Any]:
    """Of the recurring runs of one name: the disabled ones for which there is a newer one, or its mark."""
    ordered = sorted(named, key=_made)
    return [run for run in ordered[:-1] if str(run.status) == "DISABLED" and run.description != MARK]


def _made(run: Any) -> str:
    return str(run.created_at or "")


def _remove(kubeflow: Kubeflow, experiment: str | None, old: list[Any], force: bool = False) -> Removal:
    """Disable recurring runs, then delete those that have no run under way, or with `force` all."""
    enabled = [run for run in old if str(run.status) != "DISABLED"]
    for run in enabled:
        kubeflow.client.disable_recurring_run(run.recurring_run_id)
    if enabled:
        time.sleep(_SETTLE_S)
    active = _under_way(kubeflow, experiment, old)
    removal = Removal()
    if force:
        removal.ended = [run for runs in active.values() for run in runs]
        _end(kubeflow, removal.ended)
        active = {}
    for run in old:
        if runs := active.get(run.recurring_run_id):
            removal.kept[run.recurring_run_id] = runs
        else:
            _delete(kubeflow, [run])
            removal.deleted += run.description != MARK
    return removal


def _end(kubeflow: Kubeflow, runs: list[str]) -> None:
    """End runs, and wait until Kubeflow knows. It never does of one whose workflow is gone (400)."""
    asked = []
    for run in runs:
        with contextlib.suppress(kfp_server_api.ApiException):
            kubeflow.client.terminate_run(run)
            asked.append(run)
    give_up_at = time.monotonic() + _END_S
    while asked and time.monotonic() < give_up_at:
        asked = [run for run in asked if kubeflow.client.get_run(run).state not in FINISHED]
        if asked:
            time.sleep(1)


def _under_way(kubeflow: Kubeflow, experiment: str | None, old: list[Any]) -> dict[str, list[str]]:
    """Id of a recurring run -> ids of its runs under way; those without one are left out."""
    found: dict[str, list[str]] = {}
    wanted = {run.recurring_run_id for run in old}
    if not wanted or not experiment:
        return found
    first = min(_made(run) for run in old)
    fetch = partial(
        kubeflow.client.list_runs, page_size=20, sort_by="created_at desc", experiment_id=experiment
    )
    for run in pages(fetch, "runs"):
        if _made(run) < first:  # and so are all that follow
            break
        if run.recurring_run_id in wanted and run.state not in FINISHED:
            found.setdefault(run.recurring_run_id, []).append(str(run.run_id))
    return found


def _delete(kubeflow: Kubeflow, runs: list[Any]) -> None:
    for run in runs:
        kubeflow.client.delete_recurring_run(run.recurring_run_id)


def _named(kubeflow: Kubeflow, experiment: str | None, name: str) -> list[Any]:
    """The recurring runs of this name, in the order in which they were made."""
    return sorted((run for run in _all(kubeflow, experiment) if run.display_name == name), key=_made)


def _all(kubeflow: Kubeflow, experiment: str | None) -> Iterator[Any]:
    if experiment:
        fetch = partial(kubeflow.client.list_recurring_runs, page_size=100, experiment_id=experiment)
        yield from pages(fetch, "recurring_runs")


def _mark(kubeflow: Kubeflow, experiment: str | None, last: Any) -> None:
    """A disabled recurring run after the last one of its name, which says that those before it go."""
    reference, cron = last.pipeline_version_reference, last.trigger.cron_schedule.cron
    version = {"pipeline_id": reference.pipeline_id, "version_id": reference.pipeline_version_id}
    _make(kubeflow, experiment, Schedule(last.display_name, cron, version, ""), enabled=False, text=MARK)


def _make(kubeflow: Kubeflow, experiment: str | None, wanted: Schedule, enabled: bool, text: str = "") -> str:
    made = kubeflow.client.create_recurring_run(
        experiment,
        wanted.name,
        description=text or None,
        cron_expression=wanted.cron,
        max_concurrency=1,
        no_catchup=True,
        service_account=wanted.service_account or None,
        enabled=enabled,
        **wanted.version,
    )
    return str(made.recurring_run_id)
