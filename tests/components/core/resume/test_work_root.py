"""Work directories of processes that end in all possible ways, in a bucket of a real S3 server."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from components.core.resume.snapshot_store import SnapshotStore
from components.core.resume.work_dir import WorkDir
from components.core.resume.work_root import WORK_LOCAL_ENV, WORK_ROOT_ENV, WORK_SYNC_ENV, work_directory
from components.core.stage.errors import ConfigError
from components.core.training.launch import LAUNCH_ENV
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401
from tests.s3.server import missing, swift

LOG = logging.getLogger("test")
# Keeps numbers until it is told to stop, or for ever.
CHILD = """
import logging, sys, time
from components.core.resume.work_root import work_directory
with work_directory("stage", "key", logging.getLogger("test")) as work:
    for number in range(int(sys.argv[1])):
        work.journal("numbers").put(str(number), number)
    print("kept", flush=True)
    while True:
        time.sleep(1)
"""


def child(place: str, local: Path, count: int, every_s: float) -> subprocess.Popen[str]:
    """A process that has kept `count` numbers when this returns."""
    where = {WORK_ROOT_ENV: place, WORK_LOCAL_ENV: str(local), WORK_SYNC_ENV: str(every_s)}
    command = [sys.executable, "-c", CHILD, str(count)]
    process = subprocess.Popen(command, env=os.environ | where, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "kept\n"
    return process


def stored(place: str, local: Path) -> list[Any]:
    """The numbers that another machine finds, without taking the directory over."""
    work = WorkDir(local)
    SnapshotStore(work, f"{place}/stage/key", LOG).fetch()
    return list(work.journal("numbers").values())


def test_sigterm_saves_everything_before_the_process_ends(s3_bucket: str, tmp_path: Path) -> None:  # noqa: F811
    process = child(f"{s3_bucket}/work", tmp_path / "a", 100, every_s=600)
    assert stored(f"{s3_bucket}/work", tmp_path / "b") == []
    process.terminate()
    assert process.wait(30) == -signal.SIGTERM
    assert stored(f"{s3_bucket}/work", tmp_path / "c") == list(range(100))


def test_sigkill_loses_no_more_than_an_interval(s3_bucket: str, tmp_path: Path) -> None:  # noqa: F811
    process = child(f"{s3_bucket}/work", tmp_path / "a", 100, every_s=0.2)
    deadline = time.monotonic() + 30
    for attempt in itertools.count():
        if stored(f"{s3_bucket}/work", tmp_path / str(attempt)) == list(range(100)):
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.kill()
    process.wait()
    assert stored(f"{s3_bucket}/work", tmp_path / "after") == list(range(100))


@pytest.fixture
def bucket_root(s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811
    monkeypatch.setenv(WORK_ROOT_ENV, f"{s3_bucket}/work/")
    monkeypatch.setenv(WORK_LOCAL_ENV, str(tmp_path / "a"))
    return f"{s3_bucket}/work"


def test_a_stage_that_fails_saves_what_it_has(bucket_root: str, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OSError, match="disk gone"), work_directory("stage", "key", LOG) as work:
        work.journal("numbers").put("1", 1)
        raise OSError("disk gone")
    assert stored(bucket_root, tmp_path / "b") == [1]
    assert signal.getsignal(signal.SIGTERM) == before


def test_ranks_wait_until_the_first_has_restored(
    bucket_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with work_directory("stage", "key", LOG) as work:
        (work.dir("shared") / "file").touch()
    monkeypatch.setenv(WORK_LOCAL_ENV, str(tmp_path / "b"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(LAUNCH_ENV, "this one")
    monkeypatch.setattr("components.core.resume.work_root.rank", lambda: 1)
    found = []

    def second() -> None:
        with work_directory("stage", "key", LOG) as work:
            found.append((work.dir("shared") / "file").exists())
            work.journal("own").put("rank", 1)

    waiting = threading.Thread(target=second)
    waiting.start()
    waiting.join(0.5)
    assert found == []
    monkeypatch.setattr("components.core.resume.work_root.rank", lambda: 0)
    with work_directory("stage", "key", LOG):
        waiting.join(30)
    assert found == [True]


def test_a_store_that_goes_away_does_not_stop_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    why = missing()
    if why:
        pytest.skip(why)
    (tmp_path / "s3").mkdir()
    with swift(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("bucket")
        monkeypatch.setenv(WORK_ROOT_ENV, "s3://bucket/work")
        monkeypatch.setenv(WORK_LOCAL_ENV, str(tmp_path / "a"))
        monkeypatch.setattr("components.core.objects.s3._RETRIES", 0)
        monkeypatch.setattr("components.core.objects.s3._PATIENCE_S", 0.1)
        with work_directory("stage", "key", LOG) as work:
            work.journal("numbers").put("1", 1)
            server.kill()
        assert "could not be saved" in caplog.text
        server.start()
        with work_directory("stage", "key", LOG) as work:
            assert work.journal("numbers").get("1") == 1
        assert stored("s3://bucket/work", tmp_path / "b") == [1]


def test_a_wrong_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORK_ROOT_ENV, "gs://bucket")
    with pytest.raises(ConfigError, match="must be a directory or s3://"), work_directory("s", "k", LOG):
        pass
    monkeypatch.setenv(WORK_ROOT_ENV, "s3://bucket")
    monkeypatch.setenv(WORK_SYNC_ENV, "soon")
    with pytest.raises(ConfigError, match="number of seconds"), work_directory("s", "k", LOG):
        pass
