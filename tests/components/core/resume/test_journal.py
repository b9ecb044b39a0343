"""Journals: what survives a kill, a torn line, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.core.resume.journal import Journal


def test_values_survive_reopening_and_the_last_one_wins(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.put("a", {"n": 1})
    journal.put("b", "é\n")
    journal.put("a", [2])
    journal.close()
    again = Journal(tmp_path / "j.jsonl")
    assert (again.get("a"), again.get("b"), again.get("c"), len(again)) == ([2], "é\n", None, 2)


def test_a_torn_last_line_is_dropped_and_writing_goes_on(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.put("a", 1)
    journal.put("b", 2)
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        reopened = Journal(path)
        kept = whole[:cut].count(b"\n")
        assert len(reopened) == kept
        reopened.put("c", 3)
        reopened.close()
        assert Journal(path).get("c") == 3


def test_a_group_is_kept_whole_or_not_at_all(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.put("before", 0)
    journal.put_all({"a": [1], "b": [2], 'c"\\': [3]})
    journal.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        reopened = Journal(path)
        assert (len(reopened), reopened.get("before"), "a" in reopened) == (1, 0, False)
        reopened.put("later", 4)
        reopened.close()
        assert Journal(path).get("later") == 4
    path.write_bytes(whole)
    assert list(Journal(path).values()) == [0, [1], [2], [3]]


def test_values_longer_than_a_read_and_odd_keys(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    values = {"long": "x" * 1_000_000, "é": "ü", 'quo"te': 1, "back\\slash": 2, "": 3, "new\nline": 4}
    for key, value in values.items():
        journal.put(key, value)
    again = Journal(tmp_path / "j.jsonl")
    assert {key: again.get(key) for key in values} == values
    assert len(again) == len(values)


def test_what_a_lost_disk_block_left_ends_the_journal_there(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    for number in range(4):
        journal.put(str(number), number)
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (b"\0" * (len(lines[2]) - 1) + b"\n", b'["]\n', b'["a]\n'):
        path.write_bytes(b"".join([*lines[:2], damaged, lines[3]]))
        assert list(Journal(path).values()) == [0, 1]


def test_a_full_disk_leaves_no_torn_line(tmp_path, monkeypatch):
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.put("a", 1)
    real = os.write

    def full(file, data):
        real(file, data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="space"):
        journal.put("b", 2)
    monkeypatch.undo()
    journal.put("c", 3)
    assert list(Journal(path).values()) == [1, 3]
    assert (journal.get("b"), journal.get("c")) == (None, 3)


def test_values_put_survive_a_sigkill(tmp_path):
    path = tmp_path / "j.jsonl"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from components.core.resume.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for i in range(100): journal.put(str(i), i)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert list(Journal(path).values()) == list(range(100))


def test_threads_write_whole_lines(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")

    def write(thread: int) -> None:
        for number in range(200):
            journal.put(f"{thread}:{number}", "v" * number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    again = Journal(tmp_path / "j.jsonl")
    assert len(again) == 1600
    assert again.get("7:199") == "v" * 199
