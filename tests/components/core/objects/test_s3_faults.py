"""Transfers to and from a real S3 server that is killed, restarted, given new keys, or whose client is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.core.objects import s3_client, s3_transfer
from components.core.objects.s3_client import Client
from components.core.objects.s3_store import S3Store
from components.core.objects.store import at_once, open_store
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
    monkeypatch.setattr(s3_transfer, "PART_BYTES", PART)
    monkeypatch.setattr(s3_client, "_BACKOFF_S", 0.05)
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
def requests(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[int], None]], list[Any]]:
    """Watch a method of the client: every call is noted, and `then` told its number before it is made."""

    def watch(name: str, then: Callable[[int], None] = lambda number: None) -> list[Any]:
        original, calls, lock = getattr(Client, name), [], threading.Lock()

        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            with lock:
                calls.append(kwargs or args)
                number = len(calls)
            then(number)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Client, name, noted)
        return calls

    return watch


def restarted_at(server: S3Server, wanted: int) -> Callable[[int], None]:
    """Kill the server when a request of this number is about to be made, and start it again beside the client."""

    def then(number: int) -> None:
        if number == wanted:
            server.kill()
            threading.Timer(0.2, server.start).start()

    return then


def asked_once(store: S3Store) -> None:
    """Let no request be repeated by the HTTP client, so that what is above it has to."""
    http = store._bucket.client._http
    http.connection_pool_kw["retries"] = s3_client.urllib3.Retry(total=0)
    http.clear()


def killed_at(wanted: int) -> Callable[[int], None]:
    """Kill this process when a request of this number is about to be made."""

    def then(number: int) -> None:
        if number == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return then


def test_a_server_restarted_during_an_upload_loses_nothing(server, store, file, requests, tmp_path):
    sent = requests("_upload_part", restarted_at(server, 6))
    store.upload(file, "big")
    assert len(sent) >= PARTS
    store.download("big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_server_restarted_during_a_download_loses_nothing(server, store, file, requests, tmp_path):
    store.upload(file, "big")
    target = tmp_path / "copy"
    restart, seen = restarted_at(server, 6), []

    def then(number: int) -> None:
        seen.append(target.exists())
        restart(number)

    requests("get_object", then)
    store.download("big", target)
    assert target.read_bytes() == file.read_bytes()
    assert len(seen) >= PARTS + 1
    assert not any(seen), "it appears whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "file"]


def test_a_server_restarted_during_a_listing_loses_nothing(server, store, requests):
    """Killed when the second page is asked for: what the first page gave is neither lost nor given twice."""
    keys = [f"k/{number:04d}" for number in range(2 * PAGE_KEYS + 20)]
    at_once(lambda key: store.put(key, b""), keys)
    asked_once(store)
    asked = requests("_execute", restarted_at(server, 2))
    assert [info.key for info in store.list("k/")] == keys
    assert len(asked) > 4


def test_a_server_that_stays_away_ends_an_upload_and_the_next_one_continues(
    server, store, file, requests, monkeypatch
):
    monkeypatch.setattr(s3_client, "_PATIENCE_S", 0.5)
    asked_once(store)
    sent = requests("_upload_part", lambda number: server.kill() if number == 6 else None)
    with pytest.raises(StageError, match="did not answer"):
        store.upload(file, "big")
    server.start()
    assert not store.exists("big"), "what is not complete is not visible"
    assert list(store.list()) == []
    first = len(sent)
    store.upload(file, "big")
    assert len(sent) - first < PARTS - 1, "parts that are there are not sent again"
    assert store.get("big") == file.read_bytes()


def test_a_killed_upload_continues_with_the_parts_that_are_missing(store, file, requests, monkeypatch):
    def upload() -> None:
        requests("_upload_part", killed_at(8))
        monkeypatch.setattr("components.core.objects.store.AT_ONCE", 1)
        store.upload(file, "big")

    assert in_process(upload) == -signal.SIGKILL
    assert not store.exists("big")
    sent = requests("_upload_part")
    created = requests("_create_multipart_upload")
    store.upload(file, "big")
    assert (len(sent), created) == (PARTS - 7, [])
    assert store.get("big") == file.read_bytes()


def test_parts_of_other_content_are_sent_anew(store, file, requests):
    def upload() -> None:
        requests("_upload_part", killed_at(9))
        store.upload(file, "big")

    assert in_process(upload) == -signal.SIGKILL
    data = bytearray(file.read_bytes())
    data[PART + 5] ^= 1  # in the second part
    file.write_bytes(data)
    store.upload(file, "big")
    assert store.get("big") == bytes(data)


def test_a_killed_download_continues_with_the_parts_that_are_missing(store, file, requests, tmp_path):
    store.upload(file, "big")
    target = tmp_path / "copies" / "copy"

    def download() -> None:
        requests("get_object", killed_at(9))
        store.download("big", target)

    assert in_process(download) == -signal.SIGKILL
    assert not target.exists()
    asked = requests("get_object")
    store.download("big", target)
    assert target.read_bytes() == file.read_bytes()
    assert len(asked) <= 1 + PARTS - 4, "the request of the headers, and the parts that were not there"
    assert [path.name for path in target.parent.iterdir()] == ["copy"]


def test_a_damaged_part_of_a_download_is_noticed_and_fetched_again(store, file, requests, tmp_path):
    store.upload(file, "big")
    target = tmp_path / "copies" / "copy"

    def download() -> None:
        requests("get_object", killed_at(9))
        store.download("big", target)

    in_process(download)
    done = next(target.parent.glob(".copy.*.done"))
    first, _, rest = done.read_text().partition("\n")
    done.write_text(f"{first.split()[0]} {'0' * 32}\n{rest}")
    store.download("big", target)
    assert target.read_bytes() == file.read_bytes()


def test_an_object_replaced_during_a_download_is_read_whole(store, file, requests, tmp_path):
    store.upload(file, "big")
    new = file.read_bytes()[::-1]

    def replace(number: int) -> None:
        if number == 5:
            (tmp_path / "new").write_bytes(new)
            S3Store(store.bucket).upload(tmp_path / "new", "big")

    requests("get_object", replace)
    store.download("big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == new


def test_unfinished_uploads_are_discarded(store, file, requests):
    def upload() -> None:
        requests("_upload_part", killed_at(5))
        store.upload(file, "a/big")

    in_process(upload)
    assert s3_transfer._unfinished(store._bucket, "a/big")[0]
    store.discard_unfinished("b/")
    assert s3_transfer._unfinished(store._bucket, "a/big")[0]
    store.discard_unfinished("a/")
    assert s3_transfer._unfinished(store._bucket, "a/big") == ("", {})


def test_keys_replaced_during_an_upload_are_read_from_their_file(server, store, file, requests, tmp_path, monkeypatch):  # fmt: skip
    """The old keys are refused before the new ones lie in the file: as a secret that is mounted reaches a pod late."""
    credentials = tmp_path / "credentials"

    def write() -> None:
        credentials.write_text(
            f"[default]\naws_access_key_id = {server.access_key}\naws_secret_access_key = {server.secret_key}\n"
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
    sent = requests("_upload_part", rotate)
    mounted.upload(file, "big")
    assert len(sent) > PARTS
    assert mounted.get("big") == file.read_bytes()
