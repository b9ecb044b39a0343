"""Both stores behave alike: a directory, and a bucket of a real S3 server."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.core.objects import list_below, open_store
from components.core.objects.directory import DirectoryStore
from components.core.objects.s3 import ENDPOINT_ENVS, REGION_ENVS, S3Store
from components.core.objects.store import ObjectStore
from components.core.stage.errors import ConfigError, NoInputError, StageError
from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401
from tests.s3.server import missing, swift


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "directory" else request.getfixturevalue("s3_bucket")


@pytest.fixture
def store(place: str) -> ObjectStore:
    return open_store(place)[0]


def test_objects_are_put_listed_read_and_deleted(store: ObjectStore) -> None:
    assert list(store.list()) == []
    for key in ("b/2", "a", "b/10", "bc"):
        assert store.put(key, key.encode())
    assert [(info.key, info.size) for info in store.list()] == [("a", 1), ("b/10", 4), ("b/2", 3), ("bc", 2)]
    assert [info.key for info in store.list("b/")] == ["b/10", "b/2"]
    assert [info.key for info in store.list("b")] == ["b/10", "b/2", "bc"]
    assert store.get("b/2") == b"b/2"
    assert store.exists("a")
    before = next(store.list("a")).etag
    store.put("a", b"new")
    assert (store.get("a"), next(store.list("a")).etag != before) == (b"new", True)
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")
    with pytest.raises(NoInputError, match="does not exist"):
        store.get("a")
    with pytest.raises(NoInputError, match="does not exist"):
        store.download("a", Path("nowhere"))


def test_a_conditional_write_never_replaces(store: ObjectStore) -> None:
    assert store.put("k", b"first", if_absent=True)
    assert not store.put("k", b"second", if_absent=True)
    assert store.get("k") == b"first"


def test_of_many_conditional_writes_at_once_one_wins(store: ObjectStore) -> None:
    wins: Counter[int] = Counter()

    def write(number: int) -> None:
        if store.put(f"race/{number % 8}", str(number).encode(), if_absent=True):
            wins[number % 8] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(48)))
    assert wins == dict.fromkeys(range(8), 1)


def test_files_of_several_parts_go_up_and_down(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1000) * 17_500)  # 17.5 MB: two parts
    store.upload(source, "big/file")
    store.download("big/file", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == source.read_bytes()
    assert [info.size for info in store.list("big/")] == [17_500_000]


def test_uris_name_stores(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path))[0], DirectoryStore)
    assert open_store(f"file://{tmp_path}")[1] == ""
    assert open_store("s3://bucket/some/prefix")[1] == "some/prefix"
    with pytest.raises(ConfigError, match="not supported"):
        open_store("gs://bucket")
    with pytest.raises(ConfigError, match="names no bucket"):
        open_store("s3:///prefix")


def test_keys_do_not_leave_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves the directory"):
        DirectoryStore(tmp_path / "store").put("../other", b"")


def test_refused_credentials_and_missing_buckets_are_named(
    s3_bucket: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(NoInputError, match="NoSuchBucket"):
        open_store("s3://no-such-bucket")[0].get("k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ConfigError, match="check the credentials"):
        open_store(s3_bucket)[0].get("k")


def test_a_server_that_is_gone_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr("components.core.objects.s3._RETRIES", 0)
    with pytest.raises(StageError, match="did not answer") as caught:
        open_store("s3://bucket")[0].get("k")
    assert caught.value.exit_code == 1


def test_a_server_without_conditional_writes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = missing()
    if why:
        pytest.skip(why)
    with swift(tmp_path, conditional_writes=False) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("bucket")
        store, _ = open_store("s3://bucket")
        assert store.put("k", b"first")
        with pytest.raises(ConfigError, match="Conditional object PUTs are not supported"):
            store.put("k", b"second", if_absent=True)


def _write_for_ever(root: str, started: object) -> None:
    store = DirectoryStore(Path(root))
    while True:
        store.put("k", os.urandom(2**20))
        started.set()  # type: ignore[attr-defined]


def test_a_killed_writer_leaves_whole_objects_and_no_litter_for_long(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=_write_for_ever, args=(str(tmp_path), started))
    process.start()
    assert started.wait(20)
    threading.Event().wait(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    store = DirectoryStore(tmp_path)
    assert [(info.key, info.size) for info in store.list()] == [("k", 2**20)]
    store.put("k", b"again")
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


@pytest.mark.parametrize(
    ("variables", "host", "region"),
    [
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_DEFAULT_REGION": "eu-west-1"}, "a:1", "eu-west-1"),
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "http://b:2"}, "b:2", None),
        ({"AWS_ENDPOINT_URL": "http://a:1", "S3_ENDPOINT": "http://c:3"}, "c:3", None),
        ({"S3_ENDPOINT": "", "AWS_ENDPOINT_URL": "http://a:1", "AWS_REGION": "x"}, "a:1", "x"),
        ({"AWS_REGION": "x", "AWS_DEFAULT_REGION": "y"}, "s3.x.amazonaws.com", "x"),
    ],
)
def test_the_server_is_named_as_other_tools_name_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], host: str, region: str | None
) -> None:
    for name in (*ENDPOINT_ENVS, *REGION_ENVS):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = S3Store("bucket").client
    assert client._base_url._region == region
    assert host in client._base_url.build(method="GET", region=region or "us-east-1").geturl()


def test_a_server_s_address_with_a_password_is_refused_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT", "http://user:secretword@host:1")
    with pytest.raises(ConfigError, match="without a path or a user") as refused:
        S3Store("bucket")
    assert "secretword" not in str(refused.value)


def test_a_prefix_names_whole_folders(store: ObjectStore) -> None:
    for key in ("photos", "photos/a.jpg", "photos/b/c.jpg", "photos-old/d.jpg", "photos2/e.jpg", "photo.jpg"):
        if key != "photos" or not isinstance(store, DirectoryStore):  # a file cannot be a folder as well
            store.put(key, b"x")
    own = [] if isinstance(store, DirectoryStore) else ["photos"]
    below = ["photos/a.jpg", "photos/b/c.jpg"]
    assert [info.key for info in list_below(store, "photos")] == own + below
    assert [info.key for info in list_below(store, "photos/")] == below
    assert [info.key for info in list_below(store, "photo.jpg")] == ["photo.jpg"]
    assert [info.key for info in list_below(store, "pho")] == []
    assert len(list(list_below(store, ""))) == 5 + len(own)
