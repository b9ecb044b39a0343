"""What a local run was: profile, times, machine, and what each task used; kept as `run.json` in its folder.

A task from the cache keeps the entry of the run that made it. So the record says what the result cost.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.cores import usable_cores
from components.core.data.files import write_json_atomic
from pipelines.profile.run_profile import Profile

RECORD = "run.json"


def load_record(root: Path) -> dict[str, Any]:
    """The record of the run below `root`; empty where there is none that can be read."""
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


class RunRecord:
    """The record of a run under way, written after every task.

    Args:
        root: directory of the run; the entries of earlier runs there are kept.
        profile: whose name is recorded, and whose resources say how many GPUs a task has.
        containers: whether tasks run in containers, whose processor time this process cannot see.
    """

    def __init__(self, root: Path, profile: Profile, containers: bool = False) -> None:
        self._root, self._profile, self._measured = root, profile, not containers
        self.before: dict[str, Any] = dict(load_record(root).get("tasks", {}))
        """Task -> what it used when it last ran."""
        self._tasks = dict(self.before)
        self._machine = machine()
        self._started = _now()
        self._spent = processor_seconds()

    def start(self) -> None:
        """A task starts to run."""
        self._spent = processor_seconds()

    def done(self, task: str, seconds: float) -> None:
        """A task that ran has ended; `seconds` by the clock."""
        used: dict[str, Any] = {"seconds": round(seconds, 1), "ended": _now()}
        if self._measured:
            used["cpu_seconds"] = round(processor_seconds() - self._spent, 1)
        if self._machine["gpus"]:
            used["gpus"] = min(self._profile.resources[task].gpu, len(self._machine["gpus"]))
        self._tasks[task] = used
        self.write()

    def write(self) -> Path:
        """Write the record; returns its place."""
        path = self._root / RECORD
        record = {
            "profile": self._profile.name,
            "started": self._started,
            "ended": _now(),
            "machine": self._machine,
            "tasks": self._tasks,
        }
        write_json_atomic(path, record)
        return path


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in GiB, and the GPUs' names."""
    pages: Callable[[str], int] = os.sysconf
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gib": round(pages("SC_PAGE_SIZE") * pages("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
    }


def processor_seconds() -> float:
    """Processor time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _gpus() -> list[str]:
    """Names by the driver's own tool: importing torch for them would take seconds."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    asked = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answered = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer has no GPU to offer
        return []
    return [line.strip() for line in answered.stdout.splitlines() if line.strip()]


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
