"""Copies of what lies in a bucket, against the tests' S3 server."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.core.data.pins import pin
from components.core.objects import open_store
from components.core.sources.cache import check_room
from components.core.sources.copies import has_changed, hold, local_copy
from components.core.stage.errors import ConfigError, DataError, NoInputError

FILES = {"config.json": b"{}", "weights/a.safetensors": b"a" * 5000, "weights/b.safetensors": b"b" * 7000}


@pytest.fixture
def model(s3_bucket, cache) -> str:
    """Prefix of a bucket that holds `FILES`."""
    store, _ = open_store(s3_bucket)
    for name, data in FILES.items():
        store.put(f"models/m/{name}", data)
    store.put("models/m2/other", b"no part of it")
    return f"{s3_bucket}/models/m"


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_fetched_once_and_a_pinned_copy_needs_no_server(model, monkeypatch):
    held = hold(model)
    assert content(held.path) == FILES and not has_changed(held.reference, held.path)
    assert content(local_copy(f"{model}/")) == FILES
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:9")
    assert local_copy(held.reference) == held.path


def test_one_object_is_a_file(model):
    path = local_copy(f"{model}/config.json")
    assert (path.name, path.read_bytes()) == ("config.json", b"{}")
    assert local_copy(pin(f"{model}/config.json")) == path


def test_a_changed_object_is_another_copy_and_no_longer_what_was_pinned(model, s3_bucket):
    held = hold(model)
    unfetched = pin(f"{model}/weights")
    open_store(s3_bucket)[0].put("models/m/weights/a.safetensors", b"new")
    assert hold(model).reference != held.reference
    assert content(local_copy(model))["weights/a.safetensors"] == b"new"
    assert content(local_copy(held.reference)) == FILES  # this copy is still what was pinned
    with pytest.raises(DataError, match="has changed since it was pinned; start the run again"):
        local_copy(unfetched)


def test_what_is_missing_or_no_file_name_is_refused(model, s3_bucket):
    with pytest.raises(NoInputError, match="holds no objects"):
        local_copy(f"{s3_bucket}/nothing")
    with pytest.raises(ConfigError, match=r"needs 1,048,576\.00 GiB"):
        check_room(Path("/"), 2**50, "a model")


def test_an_object_that_is_a_folder_too_is_refused(model, s3_bucket):
    open_store(s3_bucket)[0].put("models/m/weights", b"a file where a folder is")
    with pytest.raises(DataError, match="'weights' is an object and a folder of others"):
        local_copy(model)


def test_killed_anywhere_the_same_call_ends_with_the_same_bytes(s3_bucket, cache):
    made = random.Random(3)
    files = {f"part-{n:02d}": made.randbytes(300_000) for n in range(30)}
    store, _ = open_store(s3_bucket)
    for name, data in files.items():
        store.put(f"m/{name}", data)
    code = "import sys; from components.core.sources.copies import local_copy; print(local_copy(sys.argv[1]))"
    command = [sys.executable, "-c", code, f"{s3_bucket}/m"]
    kills = 0
    for wanted in (2, 9, 17):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 120
        while child.poll() is None and time.monotonic() < deadline:
            if sum(path.is_file() for path in cache.glob("copies/*/part/part-*")) >= wanted:
                os.killpg(child.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        child.wait()
    assert kills
    kept = {path.name: path.stat().st_mtime_ns for path in cache.glob("copies/*/part/part-*")}
    assert kept
    path = Path(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip())
    assert content(path) == files
    assert {name: (path / name).stat().st_mtime_ns for name in kept} == kept  # they were not fetched again
