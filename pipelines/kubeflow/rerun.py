"""Running again from a task: which tasks run again and which come from the cache, decided in advance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.stage.errors import ConfigError
from pipelines.graph.compiled import Compiled
from pipelines.graph.post_training import compile_pipeline
from pipelines.kubeflow import runs
from pipelines.kubeflow.client import Kubeflow, explained
from pipelines.profile.run_profile import Profile


@dataclass(frozen=True)
class Plan:
    """The meaning of running again from a task."""

    retry: bool
    """Nothing has changed and the task did not succeed: Kubeflow's Retry of the same run does it."""
    compiled: Compiled
    """The pipeline that a new run would execute."""
    again: Mapping[str, str]
    """Task that runs again -> why, in the order of the pipeline."""

    @property
    def cached(self) -> tuple[str, ...]:
        """Tasks that come from the cache, provided that preflight finds the data outside as it was."""
        return tuple(task for task in self.compiled.order if task not in self.again)


@dataclass(frozen=True)
class Decision:
    """A plan for one run, ready to be carried out."""

    kubeflow: Kubeflow
    run: Any
    start: str
    plan: Plan
    ir: Path
    """Where a new version is written before it is uploaded."""
    gone: str = ""
    """How we know that the run's workflow is gone; "" if the run has ended."""

    def explanation(self) -> Iterator[str]:
        """What will happen, task by task."""
        again, cached = self.plan.again, ", ".join(self.plan.cached) or "nothing"
        if self.gone:
            yield f"run {self.run.run_id} ended without Kubeflow's knowledge: {self.gone}"
        if self.plan.retry:
            yield f"nothing has changed since run {self.run.run_id}: Kubeflow's Retry"
        for task, why in again.items():
            yield f"  again  {task}: {why}"
        if self.plan.retry:
            yield f"  kept   {cached}"
            return
        yield f"  cache  {cached}"
        yield "the cache holds as long as preflight finds the data outside as it was"
        order = self.plan.compiled.order
        before = order[: order.index(self.start)]
        earlier = [task for task in before if again.get(task, "never cached") != "never cached"]
        if earlier:
            yield f"note: not only {self.start} and what follows: {', '.join(earlier)} too"
        if "asked for" in again.values():
            yield (
                f"note: {self.start} changed nothing, so it runs with its cache off; "
                "later runs with these settings find the earlier results in the cache again"
            )

    def carry_out(self, service_account: str = "", changed: Iterable[str] = ()) -> str:
        """Retry the run or start a new one, named after what was `changed`; the id of the run to follow."""
        if self.plan.retry:
            runs.retry(self.kubeflow, self.run.run_id)
            return str(self.run.run_id)
        with explained():
            name = runs.titled(f"{self.run.display_name} from {self.start}", changed)
            version = self.kubeflow.version(self.plan.compiled.write(self.ir), name)
            account = service_account or self.run.service_account or ""
            settings = runs.settings_of(self.plan.compiled)
            experiment = self.run.experiment_id or ""
            return runs.start(self.kubeflow, version, name, account, settings, experiment)


def decide(kubeflow: Kubeflow, run_id: str, start: str, profile: Profile, ir: Path) -> Decision:
    """Read a run and decide how to run again from its task `start` with what the profile says now.

    Raises:
        ConfigError: the run is under way.
        NoInputError: there is no such run, or it is of another pipeline.
    """
    seen = runs.look(kubeflow, run_id)
    run, why = seen.run, runs.gone(kubeflow, seen)
    if seen.under_way and not why:
        raise ConfigError(
            f"run {run_id} is {str(run.state or 'pending').lower()}: wait for its end "
            f"(vlm-posttrain status {run_id} --wait), or end it in Kubeflow; if its workflow is gone from "
            "Kubernetes, submit again: finished tasks come from the cache"
        )
    with explained(f"the pipeline version of run {run_id}"):
        before = kubeflow.compiled(run)
    now = Compiled.read(compile_pipeline(profile, ir))
    states = {task: state.state for task, state in seen.tasks.items()}
    # Kubeflow retries only what it knows to have failed.
    failed = run.state in ("FAILED", "CANCELED")
    return Decision(kubeflow, run, start, plan(before, now, states, start, failed), ir, why)


def plan(before: Compiled, now: Compiled, states: Mapping[str, str], start: str, failed: bool = True) -> Plan:
    """Decide how to run again from `start`.

    Args:
        before: the pipeline that the run executed, its parameters included.
        now: the pipeline that the profile compiles to today.
        states: task -> state at the end of the run; tasks that never began are left out.
        start: the task to begin with.
        failed: whether the run failed or was canceled; Kubeflow retries no other.

    A task is done again if it is never cached, its part of the cache key changed, or it did not succeed. So
    is a task that reads the output of one. If none of that holds for `start`, the cache is switched off for
    it and for everything after it. Values that pass between tasks (preflight's references, the count of new
    pictures) are taken to be unchanged: only running can tell.
    """
    if failed and states.get(start) != "SUCCEEDED" and before.same_as(now):
        left = {task: _ended(states.get(task)) for task in now.order if states.get(task) != "SUCCEEDED"}
        return Plan(True, now, left)
    again = _again(before, now, states)
    if start not in again:
        forced = now.followers(start)
        now = now.without_cache(forced)
        again = _again(before, now, states, forced)
    return Plan(False, now, again)


def _again(
    before: Compiled, now: Compiled, states: Mapping[str, str], forced: set[str] | None = None
) -> dict[str, str]:
    """Task that runs again -> why."""
    found: dict[str, str] = {}
    for task in now.order:
        makers = sorted({maker for maker in now.sources(task).values() if maker in found})
        changes = differences(before, now, task)
        if task in (forced or ()):
            found[task] = "asked for"
        elif not now.is_cached(task):
            found[task] = "never cached"
        elif changes:
            found[task] = "; ".join(changes)
        elif makers:
            found[task] = f"reads what {', '.join(makers)} makes"
        elif states.get(task) != "SUCCEEDED":
            found[task] = _ended(states.get(task))
    return found


def differences(before: Compiled, now: Compiled, task: str) -> list[str]:
    """Differences between a task's parts of the cache key in two compiled pipelines, in words."""
    try:
        old = before.key_parts(task)
    except KeyError:
        return ["new"]
    new = now.key_parts(task)
    changed = [part for part in {**old, **new} if old.get(part) != new.get(part)]
    structure = ("image", "command", "outputs", "artifacts", "claims")
    said = [
        f"its {'code or image' if part == 'image' else part} changed" for part in changed if part in structure
    ]
    settings = [
        f"{part.removeprefix('config.')}: {_short(old.get(part))} -> {_short(new.get(part))}"
        for part in changed
        if part not in structure
    ]
    left = [f"{len(settings) - 4} more settings"] if len(settings) > 4 else []
    return [*said, *settings[:4], *left]


def _short(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # the IR carries every number as a double
        value = int(value)
    text = "unset" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _ended(state: str | None) -> str:
    said = {None: "had not begun", "FAILED": "failed", "SUCCEEDED": "succeeded"}
    return f"it {said.get(state, f'was {str(state).lower()}')}"
