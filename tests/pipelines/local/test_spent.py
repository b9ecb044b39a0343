"""The line-by-line account of a run's time and memory."""

from __future__ import annotations

import subprocess
import sys

from pipelines.local.spent import largest_process, spent


def test_longest_first_and_the_rest_summed_up():
    text = spent({"a": 1.0, "b": 90.0, "c": 108.0, "d": 1.0}, 3 * 2**30)
    assert text.splitlines() == [
        "time: 200 s in the stages",
        "   108.0 s   54%  c",
        "    90.0 s   45%  b",
        "     2.0 s    1%  2 others",
        "memory: 3.0 GiB in the largest process of a stage",
    ]


def test_a_run_from_the_cache_says_so():
    assert spent({}, 0) == "time: every task came from the cache"


def test_the_largest_process_is_one_that_has_ended():
    subprocess.run([sys.executable, "-c", "x = bytearray(200 * 2**20)"], check=True)
    assert largest_process() > 200 * 2**20
