"""Where a run's time and memory went, in words."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping

from pipelines.local.warm import WarmProcess

SMALLEST_SHARE = 0.02
"""Tasks below this share of the time are summed up."""


def spent(seconds_by_task: Mapping[str, float], peak_bytes: int) -> str:
    """One line a task, longest first, with its share of the time; then the largest process.

    Args:
        seconds_by_task: the tasks that ran; those from the cache are left out.
        peak_bytes: see `largest_process`.
    """
    total = sum(seconds_by_task.values())
    if not total:
        return "time: every task came from the cache"
    ordered = sorted(seconds_by_task.items(), key=lambda item: (-item[1], item[0]))
    shown = [(task, seconds) for task, seconds in ordered if seconds >= SMALLEST_SHARE * total]
    lines = [f"time: {total:.0f} s in the stages"]
    lines += [f"  {seconds:6.1f} s  {seconds / total:4.0%}  {task}" for task, seconds in shown]
    if len(shown) < len(ordered):
        rest = total - sum(seconds for _, seconds in shown)
        lines.append(f"  {rest:6.1f} s  {rest / total:4.0%}  {len(ordered) - len(shown)} others")
    lines.append(f"memory: {peak_bytes / 2**30:.1f} GiB in the largest process of a stage")
    return "\n".join(lines)


def largest_process() -> int:
    """Largest resident set of a process that this one has waited for, or has had forked, bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(WarmProcess.largest, peak if sys.platform == "darwin" else peak * 1024)
