"""Recurring runs: made, listed, replaced and deleted by name.

Kubeflow gives them ids and lets names repeat; here one name is one recurring run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from components.core.stage.errors import ConfigError, NoInputError
from pipelines.kubeflow.client import Kubeflow, explained, pages


@dataclass(frozen=True)
class Schedule:
    """When to run what, under which name."""

    name: str
    cron: str
    """Six fields, seconds first, in Kubeflow's time zone."""
    version: Mapping[str, str]
    """As `Kubeflow.version` gives it."""
    service_account: str


def create(kubeflow: Kubeflow, wanted: Schedule) -> str:
    """Make a recurring run; its id.

    Raises:
        ConfigError: there is one of this name.
    """
    with explained():
        experiment = kubeflow.experiment()
        if _named(kubeflow, experiment, wanted.name):
            raise ConfigError(f"there is a schedule {wanted.name}: use `schedule replace`, or another name")
        return _make(kubeflow, experiment, wanted, enabled=True)


def replace(kubeflow: Kubeflow, wanted: Schedule) -> str:
    """Make the recurring run of this name anew, or for the first time; its id.

    The new one is made disabled, the old ones are deleted, then it is enabled: at no time are two enabled. A
    call that was killed in between may leave none enabled; the next one finishes it.
    """
    with explained(f"the schedule {wanted.name}"):
        experiment = kubeflow.experiment()
        old = _named(kubeflow, experiment, wanted.name)
        new = _make(kubeflow, experiment, wanted, enabled=False)
        for recurring in old:
            kubeflow.client.delete_recurring_run(recurring)
        kubeflow.client.enable_recurring_run(new)
    return new


def delete(kubeflow: Kubeflow, name: str) -> int:
    """Delete the recurring runs of this name; how many there were.

    Raises:
        NoInputError: there is none.
    """
    with explained(f"the schedule {name}"):
        found = _named(kubeflow, kubeflow.experiment(make=False), name)
        for recurring in found:
            kubeflow.client.delete_recurring_run(recurring)
    if not found:
        raise NoInputError(f"there is no schedule {name}; `schedule list` names those there are")
    return len(found)


def listed(kubeflow: Kubeflow) -> list[Any]:
    """Every recurring run of ours in the namespace, by name."""
    with explained():
        found = _all(kubeflow, kubeflow.experiment(make=False))
        return sorted(found, key=lambda run: str(run.display_name))


def _named(kubeflow: Kubeflow, experiment: str | None, name: str) -> list[str]:
    """Ids of the recurring runs of this name."""
    return [run.recurring_run_id for run in _all(kubeflow, experiment) if run.display_name == name]


def _all(kubeflow: Kubeflow, experiment: str | None) -> Iterator[Any]:
    if experiment:
        fetch = partial(kubeflow.client.list_recurring_runs, page_size=100, experiment_id=experiment)
        yield from pages(fetch, "recurring_runs")


def _make(kubeflow: Kubeflow, experiment: str | None, wanted: Schedule, enabled: bool) -> str:
    made = kubeflow.client.create_recurring_run(
        experiment,
        wanted.name,
        cron_expression=wanted.cron,
        max_concurrency=1,
        no_catchup=True,
        service_account=wanted.service_account or None,
        enabled=enabled,
        **wanted.version,
    )
    return str(made.recurring_run_id)
