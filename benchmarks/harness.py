"""What all benchmarks share: timing side by side, peak memory, and one JSON line of results each."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from components.core.cores import usable_cores

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "bench"
_PACKAGES = ("numpy", "pyarrow", "pillow", "torch", "transformers", "trl", "ray")


def machine() -> dict[str, Any]:
    """Facts about this machine that the figures depend on."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "cores": usable_cores(),
        "cpu": names[0] if names else platform.processor(),
        "load_1min": round(os.getloadavg()[0], 2),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "python": platform.python_version(),
        "versions": versions,
    }


def result(name: str, **figures: Any) -> None:
    """Print one JSON line and write it to `build/bench/<name>.json`."""
    line = {"benchmark": name, **figures, "machine": machine()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(line, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line), flush=True)


def arguments(
    about: str | None, arms: Sequence[str], *, chosen: Sequence[str] | None = None, seeds: str = "0,1,2"
) -> argparse.ArgumentParser:
    """Options of a benchmark that compares arms: `seeds` and `arms` of what it returns are lists.

    Args:
        about: the benchmark's docstring.
        arms: those that there are.
        chosen: those that are run if nothing is said; all by default.
        seeds: the seeds that are run if nothing is said.
    """

    def named(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [name for name in found if name not in arms]:
            raise argparse.ArgumentTypeError(f"no such arm: {', '.join(unknown)}; of: {', '.join(arms)}")
        return found

    def numbered(text: str) -> list[int]:
        return [int(seed) for seed in text.split(",")]

    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=numbered, default=seeds, help="comma-separated")
    parser.add_argument(
        "--arms",
        type=named,
        default=",".join(chosen if chosen is not None else arms),
        help="comma-separated, of: " + ", ".join(arms),
    )
    return parser


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """A call's value and its wall time in seconds."""
    started = time.perf_counter()
    value = function()
    return value, time.perf_counter() - started


def side_by_side(functions: Mapping[str, Callable[[], Any]], repeats: int = 5) -> dict[str, dict[str, float]]:
    """Run each function in turn, `repeats` rounds long, so that a busy machine slows all of them alike.

    Returns:
        For each name the median, minimum and maximum of its wall times, in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(timed(function)[1])
    return {
        name: {
            "median_s": round(statistics.median(seconds), 4),
            "min_s": round(min(seconds), 4),
            "max_s": round(max(seconds), 4),
        }
        for name, seconds in times.items()
    }


def tree_rss_mb(pid: int) -> float:
    """Resident memory of a process and all its descendants in MB; shared pages count for each."""
    children: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                stat = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                children.setdefault(int(stat[1]), []).append(int(entry.name))
                pages[int(entry.name)] = int(stat[21])
    total, open_ = 0, [pid]
    while open_:
        process = open_.pop()
        total += pages.get(process, 0)
        open_ += children.get(process, [])
    return total * os.sysconf("SC_PAGE_SIZE") / 1e6


def high_water_mb() -> float:
    """Highest resident memory of this process so far, in MB; `getrusage` would count its parent's, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1e3


@contextlib.contextmanager
def peak_memory(pid: int | None = None, every_s: float = 0.05) -> Iterator[dict[str, float]]:
    """Sample the memory of a process tree while the block runs; the dict's `peak_mb` is the highest."""
    found = {"peak_mb": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(every_s):
            found["peak_mb"] = max(found["peak_mb"], tree_rss_mb(pid or os.getpid()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found["peak_mb"] = max(found["peak_mb"], tree_rss_mb(pid or os.getpid()))
