"""Processes that want one work directory at once, on a disk and in a bucket of a real S3 server."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.core.resume.lease import Holder, Lease
from components.core.resume.lease_places import BucketPlace, FolderPlace, LeasePlace
from components.core.resume.work_root import (
    LEASE_ENV,
    WAIT_ENV,
    WORK_LOCAL_ENV,
    WORK_ROOT_ENV,
    work_directory,
)
from components.core.stage.errors import ConfigError, StageError
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401

LOG = logging.getLogger("test")
TTL_S = 1.5
# Works in the directory: nobody else may, between "in" and "out". Then it says what it found.
WORKER = """
import logging, os, sys, time
from components.core.resume.work_root import work_directory
from components.core.stage.log import get_logger
with work_directory("stage", "key", get_logger("stage")) as work:
    print("in", flush=True)
    inside = os.open(sys.argv[2], os.O_CREAT | os.O_EXCL) if sys.argv[2] else 0
    journal = work.journal("numbers")
    found = len(journal)
    for number in range(found, 20):
        journal.put(str(number), os.getpid())
        time.sleep(float(sys.argv[1]) / 20)
    print(f"found {found}", flush=True)
    if sys.argv[2]:
        os.unlink(sys.argv[2])
"""
ELSEWHERE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
"""The processes of another pod: their ids say nothing here."""


@pytest.fixture(params=["disk", "bucket"])
def root(request, tmp_path) -> str:
    return str(tmp_path / "work") if request.param == "disk" else f"{request.getfixturevalue('s3_bucket')}/w"


class Workers:
    """Starts workers on one directory, each with local files of its own where the work is in a bucket."""

    def __init__(self, root: str, local: Path) -> None:
        self.root, self.local = root, local
        self.started: list[subprocess.Popen[str]] = []

    def start(self, takes_s: float = 0.0, inside: str = "", prefix: tuple[str, ...] = (), **variables: str):
        where = {
            WORK_ROOT_ENV: self.root, WORK_LOCAL_ENV: str(self.local / str(len(self.started))),
            LEASE_ENV: str(TTL_S), "VLM_WORK_SYNC_S": "0.2",
        }  # fmt: skip
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", WORKER, str(takes_s), inside],
            env={**os.environ, **where, **variables},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def start_inside(self, **options):
        """A worker that is at work."""
        process = self.start(takes_s=60, **options)
        assert process.stdout.readline() == "in\n", process.stderr.read()
        return process


@pytest.fixture
def workers(root, tmp_path):
    made = Workers(root, tmp_path / "local")
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


def ended(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_second_waits_says_for_whom_and_takes_the_result(workers):
    first = workers.start(takes_s=2)
    assert first.stdout.readline() == "in\n"
    second = workers.start()
    assert ended(first)[:2] == (0, "found 0\n")
    code, out, err = ended(second)
    assert (code, out) == (0, "in\nfound 20\n")
    assert "waiting for another process that does the same work" in err
    assert f"process {first.pid}, since 20" in err


def test_one_that_must_not_wait_ends_and_says_whose_the_directory_is(workers):
    first = workers.start_inside()
    code, _, err = ended(workers.start(**{WAIT_ENV: "0"}))
    assert code == 1
    assert f"{workers.root}/stage/key: another process works there (" in err
    assert f"process {first.pid}, since 20" in err


def test_a_killed_holder_on_this_machine_is_known_to_be_dead_at_once(workers):
    first = workers.start_inside(**{LEASE_ENV: "600"})
    first.kill()  # not waited for: it has ended, and only its exit code is left
    code, out, err = ended(workers.start(**{LEASE_ENV: "600"}))
    assert code == 0
    assert out.startswith("in\nfound ")
    assert "took the work directory over from a process that has died" in err


def test_a_killed_holder_elsewhere_is_dead_after_the_lease_s_time(workers):
    if subprocess.run([*ELSEWHERE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("namespaces are not allowed here")
    first = workers.start_inside(prefix=ELSEWHERE)
    time.sleep(2 * TTL_S)  # it lives, and is not taken over however old its lease is
    second = workers.start()
    time.sleep(2 * TTL_S)
    assert second.poll() is None
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    code, out, _ = ended(second)
    assert code == 0 and out.startswith("in\n")
    assert time.monotonic() - killed > TTL_S / 2


def test_a_holder_that_stood_still_writes_nothing_once_it_was_taken_over(workers):
    first = workers.start_inside()
    first.send_signal(signal.SIGSTOP)
    second = workers.start_inside()
    first.send_signal(signal.SIGCONT)
    if workers.root.startswith("s3://"):  # it has local files of its own, and saves nothing more
        time.sleep(2 * TTL_S)
        assert first.poll() is None
    else:
        code, _, err = ended(first)
        assert code == 1
        assert "another process believed this one dead and continues in its work directory" in err
    assert second.poll() is None


def test_one_that_stood_still_while_it_waited_takes_nothing_from_a_living_holder(workers):
    first = workers.start_inside()
    second = workers.start()
    time.sleep(1)
    second.send_signal(signal.SIGSTOP)
    time.sleep(2 * TTL_S)
    second.send_signal(signal.SIGCONT)
    time.sleep(TTL_S)
    assert first.poll() is None and second.poll() is None
    assert holder_of(workers.root) == first.pid


def test_at_no_time_two_are_inside_whoever_is_killed(workers, tmp_path):
    """Of eight processes at once, four are killed at work; the rest end well, one after another.

    Each creates a file that must not exist. A killed one would leave it, so it is removed while that one
    stands still, before anybody can know that it is dead.
    """
    inside = tmp_path / "inside"
    running = {p.pid: p for p in [workers.start(takes_s=1, inside=str(inside)) for _ in range(8)]}
    killed = 0
    while killed < 4:
        time.sleep(random.Random(killed).uniform(0.1, 0.3))
        process = running.get(holder_of(workers.root))
        if process is None:
            continue
        process.send_signal(signal.SIGSTOP)
        if holder_of(workers.root) == process.pid and inside.exists():
            inside.unlink()
            process.kill()
            process.wait()
            del running[process.pid]
            killed += 1
        else:
            process.send_signal(signal.SIGCONT)
    outcomes = [ended(process) for process in running.values()]
    assert [code for code, *_ in outcomes] == [0] * 4, outcomes
    assert sum("found 20" in out for _, out, _ in outcomes) >= 3


def place_of(root: str) -> LeasePlace:
    uri = f"{root}/stage/key"
    return BucketPlace(f"{uri}/lease") if root.startswith("s3://") else FolderPlace(Path(uri) / ".lease")


def holder_of(root: str) -> int:
    place = place_of(root)
    number = place.highest()
    return Holder.decode(place.read(number)).pid if number else 0


def lease(root: str, wait_s: float = 0.0, ttl_s: float = TTL_S) -> Lease:
    return Lease(place_of(root), LOG, ttl_s, wait_s, lambda: None)


def test_of_two_that_find_nobody_one_holds(root):
    place = place_of(root)
    assert place.create(1, b"mine")
    assert not place.create(1, b"yours")
    assert place.read(1) == b"mine"
    place.write(1, b"me")
    assert (place.read(1), place.highest()) == (b"me", 1)


def test_a_record_that_was_never_finished_runs_out(root):
    place_of(root).create(1, b'{"host": "a')
    with pytest.raises(StageError, match="unknown, process 0, since unknown"):
        lease(root).acquire()
    taken = lease(root, wait_s=60, ttl_s=0.3)
    taken.acquire()
    taken.release()


def test_a_process_that_could_not_say_that_it_ended_need_not_wait_for_itself(root, monkeypatch):
    """Its store was away at the end of its work."""
    first = lease(root, ttl_s=600)
    first.acquire()
    with pytest.raises(StageError, match=f"process {os.getpid()}"):
        lease(root, ttl_s=600).acquire()
    with monkeypatch.context() as away:
        away.setattr(type(first._place), "write", lambda *_: (_ for _ in ()).throw(OSError("away")))
        first.release()
    second = lease(root, ttl_s=600)
    second.acquire()
    second.release()


def test_who_waits_is_known_until_somebody_holds(root):
    first = lease(root)
    first.acquire()
    assert not first.awaited()
    place_of(root).announce("someone")
    assert first.awaited()
    place_of(root).withdraw("someone else")
    assert first.awaited()
    first.release()
    second = lease(root)
    second.acquire()
    assert not second.awaited()
    second.release()


def test_another_process_with_the_same_id_is_not_the_holder():
    mine = lease("/tmp/none")._record
    assert not mine.is_known_dead()
    assert Holder(**{**vars(mine), "started": mine.started - 1}).is_known_dead()
    assert not Holder(**{**vars(mine), "machine": "another", "started": 1}).is_known_dead()


def test_other_ranks_wait_until_the_first_holds(tmp_path, monkeypatch):
    """The launcher's ranks share the directory: rank 1 comes in only when rank 0 has."""
    variables = {"WORLD_SIZE": "2", "VLM_LAUNCH": "one"}
    workers = Workers(str(tmp_path / "work"), tmp_path)
    second = workers.start(RANK="1", **variables)
    time.sleep(1)
    assert second.poll() is None
    first = workers.start(RANK="0", **variables)
    assert ended(first)[0] == ended(second)[0] == 0


@pytest.mark.parametrize("variable, text", [(LEASE_ENV, "0"), (LEASE_ENV, "soon"), (WAIT_ENV, "-1")])
def test_a_wrong_time_is_refused(tmp_path, monkeypatch, variable, text):
    monkeypatch.setenv(WORK_ROOT_ENV, str(tmp_path))
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=f"{variable} is '{text}'"), work_directory("stage", "key", LOG):
        pass


def test_records_are_json_for_people(tmp_path, monkeypatch):
    monkeypatch.setenv(WORK_ROOT_ENV, str(tmp_path))
    with work_directory("stage", "key", LOG):
        record = json.loads((tmp_path / "stage/key/.lease/000001.json").read_text())
        assert (record["pid"], record["ended"]) == (os.getpid(), False)
    assert json.loads((tmp_path / "stage/key/.lease/000001.json").read_text())["ended"]
