"""Shared-out lists, with real processes as ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from components.core.resume.shared_batches import SharedBatches
from components.core.resume.work_dir import CACHE_TAG, WorkDir

ITEMS = [f"q{i}" for i in range(11)]
BATCHES = [ITEMS[start : start + 2] for start in range(0, len(ITEMS), 2)]
EXPECTED = {item: [f"batch {number}", item] for number, batch in enumerate(BATCHES) for item in batch}
RANK = """
import json, sys
from pathlib import Path
from components.core.resume.shared_batches import SharedBatches
from components.core.training.launch import rank
from components.core.resume.work_dir import WorkDir

items, dies_after = json.loads(sys.argv[2]), int(sys.argv[3])
batches = [items[start:start + 2] for start in range(0, len(items), 2)]
asked = []

def answer(number, batch):
    if len(asked) == dies_after:
        raise SystemExit(9)
    asked.append(number)
    return {item: [f"batch {number}", item] for item in batch}

done = []
found = SharedBatches(WorkDir(Path(sys.argv[1]), rank()), "list").answers(batches, str, answer, done.append)
print(json.dumps([asked, sum(done), found]))
"""


def run(work: Path, ranks: int, launch: str, dies_after: int = -1) -> list[subprocess.CompletedProcess[str]]:
    command = [sys.executable, "-c", RANK, str(work), json.dumps(ITEMS), str(dies_after)]
    started = [
        subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE,
            env={**os.environ, "RANK": str(n), "WORLD_SIZE": str(ranks), "VLM_LAUNCH": launch},
        )
        for n in range(ranks)
    ]  # fmt: skip
    ended = []
    for process in started:
        out, _ = process.communicate(timeout=60)
        ended.append(subprocess.CompletedProcess(command, process.returncode, out))
    return ended


def test_one_process_answers_everything_once(tmp_path):
    asked: list[int] = []

    def answer(number, batch):
        asked.append(number)
        return {item: [f"batch {number}", item] for item in batch}

    done: list[int] = []
    assert SharedBatches(WorkDir(tmp_path), "list").answers(BATCHES, str, answer, done.append) == EXPECTED
    assert asked == list(range(6)) and sum(done) == len(ITEMS)
    assert SharedBatches(WorkDir(tmp_path), "list").answers(BATCHES, str, answer) == EXPECTED
    assert asked == list(range(6))  # nothing was asked again


def test_ranks_share_the_batches_and_all_get_all_answers(tmp_path):
    first, second, third = (json.loads(ended.stdout) for ended in run(tmp_path, 3, "one"))
    assert [first[0], second[0], third[0]] == [[0, 3], [1, 4], [2, 5]]
    assert first[1] == second[1] == third[1] == len(ITEMS)
    assert first[2] == second[2] == third[2] == EXPECTED
    # What the ranks told each other can be made again: it is not worth a place in object storage.
    assert (tmp_path / "shared" / CACHE_TAG).exists()


def test_killed_ranks_go_on_where_they_were(tmp_path):
    assert [ended.returncode for ended in run(tmp_path, 2, "one", dies_after=1)] == [9, 9]
    again = [json.loads(ended.stdout) for ended in run(tmp_path, 2, "two")]
    assert [asked for asked, _, _ in again] == [[2, 4], [3, 5]]
    assert [found for _, _, found in again] == [EXPECTED, EXPECTED]
