"""Transfers to and from a real S3 server: server or client are killed, keys are replaced."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import minio.helpers
import pytest
from minio import Minio
from urllib3.response import HTTPResponse

from components.core.objects import open_store, s3
from components.core.objects.s3 import S3Store
from components.core.stage.errors import StageError
from tests.faults.stores import in_process
from tests.s3.server import PAGE_KEYS, S3Server, missing, swift

PART = 2**18
PARTS = 12


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of this file's own: it is killed now and then."""
    why = missing()
    if why:
        pytest.skip(why)
    with swift(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def store(server: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """An empty bucket, with small parts."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(minio.helpers, "MIN_PART_SIZE", PART)
    monkeypatch.setattr(s3, "PART_BYTES", PART)
    monkeypatch.setattr(s3, "_BACKOFF_S", 0.05)
    name = "b-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    server.make_bucket(name)
    opened, _ = open_store(f"s3://{name}")
    assert isinstance(opened, S3Store)
    assert not opened.exists("anything"), "it has answered once"
    return opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Parts that all differ, the last one shorter."""
    path = tmp_path / "file"
    path.write_bytes(b"".join(hashlib.sha256(b"%d" % n).digest() * (PART // 32) for n in range(PARTS))[:-100])
    return path


@pytest.fixture
def large(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Content of the object `large`, which no buffer of a connection holds whole."""
    data = b"".join(hashlib.sha256(b"%d" % n).digest() * (2**20 // 32) for n in range(32))
    monkeypatch.setattr(minio.helpers, "MIN_PART_SIZE", 2**23)
    monkeypatch.setattr(s3, "PART_BYTES", 2**23)
    store.put("large", data)
    return data


@pytest.fixture
def calls_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Watch a method: every call is noted, and `then` told its number before it is made."""

    def watch(owner: type, name: str, then: Callable[[int], None] = lambda number: None) -> list[Any]:
        original, calls, lock = getattr(owner, name), [], threading.Lock()

        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            with lock:
                calls.append(kwargs or args)
                number = len(calls)
            then(number)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, noted)
        return calls

    return watch


def restarted_at(server: S3Server, wanted: int) -> Callable[[int], None]:
    """Kill the server before the call of this number, and start it again while the client waits."""

    def then(number: int) -> None:
        if number == wanted:
            server.kill()
            threading.Timer(0.2, server.start).start()

    return then


def asked_once(store: S3Store) -> None:
    """Let no request be repeated by the HTTP client, so that what is above it has to."""
    http = store.client._http
    http.connection_pool_kw["retries"] = s3.urllib3.Retry(total=0)
    http.clear()


def killed_at(wanted: int) -> Callable[[int], None]:
    """Kill this process when a request of this number is about to be made."""

    def then(number: int) -> None:
        if number == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return then


def test_a_server_restarted_during_an_upload_loses_nothing(server, store, file, calls_of, tmp_path):
    sent = calls_of(Minio, "_upload_part", restarted_at(server, 6))
    store.upload(file, "big")
    assert len(sent) >= PARTS
    store.download("big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_server_restarted_during_a_download_loses_nothing(server, store, large, calls_of, tmp_path):
    target = tmp_path / "copy"
    restart, seen = restarted_at(server, 3), []

    def then(number: int) -> None:
        seen.append(target.exists())
        restart(number)

    asked = calls_of(Minio, "get_object")
    calls_of(HTTPResponse, "read", then)
    store.download("large", target)
    assert target.read_bytes() == large
    assert len(asked) > 1
    assert len(seen) > 32
    assert not any(seen), "it appears whole"
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_server_restarted_during_a_listing_loses_nothing(server, store, calls_of):
    """Killed when the second page is asked for: what the first page gave is neither lost nor given twice."""
    keys = [f"k/{number:04d}" for number in range(2 * PAGE_KEYS + 20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    asked_once(store)
    asked = calls_of(Minio, "_execute", restarted_at(server, 2))
    assert [info.key for info in store.list("k/")] == keys
    assert len(asked) > 4


def test_a_server_that_stays_away_ends_an_upload_and_the_next_one_is_whole(
    server, store, file, calls_of, monkeypatch
):
    monkeypatch.setattr(s3, "_PATIENCE_S", 0.5)
    asked_once(store)
    calls_of(Minio, "_upload_part", lambda number: server.kill() if number == 6 else None)
    with pytest.raises(StageError, match="did not answer"):
        store.upload(file, "big")
    server.start()
    assert not store.exists("big"), "what is not complete is not visible"
    assert list(store.list()) == []
    store.upload(file, "big")
    assert store.get("big") == file.read_bytes()


def test_a_killed_upload_is_invisible_and_the_next_one_is_whole(store, file, calls_of):
    def upload() -> None:
        calls_of(Minio, "_upload_part", killed_at(8))
        store.upload(file, "big")

    assert in_process(upload) == -signal.SIGKILL
    assert not store.exists("big")
    store.upload(file, "big")
    assert store.get("big") == file.read_bytes()


def test_a_killed_download_leaves_no_file_and_the_next_one_is_whole(store, large, calls_of, tmp_path):
    target = tmp_path / "copies" / "copy"

    def download() -> None:
        calls_of(HTTPResponse, "read", killed_at(9))
        store.download("large", target)

    assert in_process(download) == -signal.SIGKILL
    assert not target.exists()
    store.download("large", target)
    assert target.read_bytes() == large
    assert [path.name for path in target.parent.iterdir()] == ["copy"], "nothing of the killed one is left"


def test_content_damaged_on_the_way_is_read_again(store, calls_of, monkeypatch, tmp_path):
    store.put("small", b"whole")
    copy, left = s3.shutil.copyfileobj, [1, 1, 10**6]

    def damaged(source: Any, file: Any, *args: Any) -> None:
        copy(source, file, *args)
        if left[0]:
            left[0] -= 1
            file.seek(0)
            file.write(b"x")

    monkeypatch.setattr(s3.shutil, "copyfileobj", damaged)
    asked = calls_of(Minio, "get_object")
    assert store.get("small") == b"whole"
    left.pop(0)
    store.download("small", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"whole"
    assert len(asked) == 4
    left.pop(0)
    monkeypatch.setattr(s3, "_PATIENCE_S", 0.1)
    with pytest.raises(StageError, match="small: content does not match its checksum"):
        store.download("small", tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_an_object_replaced_during_a_download_is_read_whole(store, large, calls_of, tmp_path):
    """The one that was there at the beginning, or the new one."""
    new = large[::-1]

    def replace(number: int) -> None:
        if number == 3:
            S3Store(store.bucket).put("large", new)

    calls_of(HTTPResponse, "read", replace)
    store.download("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() in (large, new)


def test_keys_replaced_during_an_upload_are_read_from_their_file(
    server, store, file, calls_of, tmp_path, monkeypatch
):
    """The old keys are refused before the file has the new ones: a mounted secret reaches a pod late."""
    credentials = tmp_path / "credentials"

    def write() -> None:
        credentials.write_text(
            f"[default]\naws_access_key_id = {server.access_key}\n"
            f"aws_secret_access_key = {server.secret_key}\n"
        )

    def rotate(number: int) -> None:
        if number == 6:
            server.kill()
            server.replace_keys("test:next", "rotated")
            server.start()
            threading.Timer(1.0, write).start()

    write()
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    mounted = S3Store(store.bucket)
    assert not mounted.exists("big")
    sent = calls_of(Minio, "_upload_part", rotate)
    mounted.upload(file, "big")
    assert len(sent) > PARTS
    assert mounted.get("big") == file.read_bytes()
