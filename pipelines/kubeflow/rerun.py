"""Running again from a stage: what a new run takes from the cache and what it does again, decided before it starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.graph.compiled import Compiled

_SHOWN_CHARACTERS = 60
_SHOWN_SETTINGS = 4


@dataclass(frozen=True)
class Plan:
    """What running again from a task means."""

    retry: bool
    """Nothing has changed and the task did not succeed: Kubeflow's Retry of the same run does it."""
    compiled: Compiled
    """What a new run would execute."""
    again: Mapping[str, str]
    """Task that runs again -> why, in the order of the pipeline."""
    cached: tuple[str, ...]
    """Tasks that come from the cache, provided that preflight finds the data outside as it was."""


def plan(before: Compiled, now: Compiled, states: Mapping[str, str], start: str, failed: bool = True) -> Plan:
    """Decide how to run again from `start`.

    Args:
        before: what the run executed, its parameters included.
        now: what the profile compiles to today.
        states: task -> state at the end of the run; tasks that never began are left out.
        start: the task to begin with.
        failed: whether the run failed or was canceled; Kubeflow retries no other.

    A task is done again if it is never cached, if its part of the cache key changed, if a task whose output it reads is
    done again, or if it did not succeed. If none of that holds for `start`, the cache is switched off for it and for
    everything after it. Values that pass between tasks (preflight's references, the count of new pictures) are taken to
    be what they were: only running can tell.
    """
    if failed and states.get(start) != "SUCCEEDED" and before.same_as(now):
        again = {
            task: f"it {_ended(states.get(task))}" for task in now.order if states.get(task) != "SUCCEEDED"
        }
        return Plan(True, now, again, tuple(task for task in now.order if task not in again))
    again = _again(before, now, states)
    if start not in again:
        forced = now.followers(start)
        now = now.without_cache(forced)
        again = _again(before, now, states, forced)
    return Plan(False, now, again, tuple(task for task in now.order if task not in again))


def _again(
    before: Compiled, now: Compiled, states: Mapping[str, str], forced: set[str] | None = None
) -> dict[str, str]:
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
            found[task] = f"it {_ended(states.get(task))}"
    return found


def differences(before: Compiled, now: Compiled, task: str) -> list[str]:
    """How the task's part of the cache key differs between two compiled pipelines, for people; empty if it does not."""
    try:
        old = before.key_parts(task)
    except KeyError:
        return ["new"]
    new = now.key_parts(task)
    changed = [part for part in {**old, **new} if old.get(part) != new.get(part)]
    structure = [part for part in changed if part in ("image", "command", "outputs", "artifacts", "claims")]
    settings = [part for part in changed if part not in structure]
    said = [f"its {part} changed" if part != "image" else "its code or image changed" for part in structure]
    said += [
        f"{part.removeprefix('config.')}: {_short(old.get(part))} -> {_short(new.get(part))}"
        for part in settings[:_SHOWN_SETTINGS]
    ]
    if len(settings) > _SHOWN_SETTINGS:
        said.append(f"{len(settings) - _SHOWN_SETTINGS} more settings")
    return said


def _short(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # the IR carries every number as a double
        value = int(value)
    text = "unset" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _ended(state: str | None) -> str:
    said = {None: "had not begun", "FAILED": "failed", "SUCCEEDED": "succeeded"}
    return said.get(state, f"was {str(state).lower()}")
