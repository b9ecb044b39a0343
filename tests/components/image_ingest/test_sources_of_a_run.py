"""The whole stage on every kind of source: the same pictures, every entry accounted for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.image_ingest.checks.verify import Stored, verify
from components.image_ingest.config import Config


@pytest.fixture
def contents(photographs, encode, photograph) -> dict[str, bytes]:
    """The photographs, one of them twice, and files that are none."""
    found = {path.name: path.read_bytes() for path in sorted(photographs.iterdir())}
    china = found["china.jpg"]
    return found | {"a_copy.jpg": china, "cut.jpg": china[:9000], "empty.png": b"", "letter.jpg": b"Dear Sir"}


EXPECTED = ["duplicate", "empty_file", "not_an_image", "truncated"]


def as_folder(contents, place, make_tar) -> Path:
    place.mkdir()
    for name, data in contents.items():
        (place / name).write_bytes(data)
    return place


def as_tars(contents, place, make_tar) -> Path:
    place.mkdir()
    items = sorted(contents.items())
    make_tar(place / "0.tar", dict(items[:5]) | {"a.json": b"{}"})
    make_tar(place / "1.tar", dict(items[5:]))
    return place


def as_parquet(contents, place, make_tar) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": data, "path": name} for name, data in sorted(contents.items())]
    pq.write_table(pa.table({"image": pa.array(rows, kind)}), place.with_suffix(".parquet"), row_group_size=4)
    return place.with_suffix(".parquet")


@pytest.mark.parametrize("form", [as_folder, as_tars, as_parquet])
def test_the_same_pictures_from_every_source(ingest, contents, tmp_path, make_tar, form) -> None:
    source = form(contents, tmp_path / "source", make_tar)
    done = ingest(source, chunk_files=3)
    assert done.code == 0
    assert {row["image_id"] for row in done.images} == images_of(contents)
    assert sorted(row["reason"] for row in done.rejected.values()) == EXPECTED
    assert done.metrics["files"] == len(contents) == len(done.images) + len(done.rejected)
    assert all(row["source_uri"].startswith(str(source)) for row in done.images)


def images_of(contents: dict[str, bytes]) -> set[str]:
    """Ids of the photographs in stored form, wherever they come from."""
    outcomes = (verify(data, Config()) for data in contents.values())
    return {outcome.image_id for outcome in outcomes if isinstance(outcome, Stored)}


URLS = {"hosts": ["127.0.0.1"], "schemes": ["http"], "allow_private_addresses": True, "retries": 0}


def test_urls_and_a_restart_that_fetches_nothing_twice(ingest, contents, tmp_path, image_server) -> None:
    image_server.pages = {f"/{name}": (200, {}, data) for name, data in contents.items()}
    urls = [f"{image_server.url}/{name}" for name in [*sorted(contents), "missing.jpg"]]
    source = tmp_path / "urls.csv"
    source.write_text("url\n" + "".join(f"{url}\n" for url in [*urls, "ftp://127.0.0.1/x.jpg"]))
    done = ingest(source, "first", urls=URLS, chunk_files=4)
    assert sorted(done.reasons.values()) == sorted([*EXPECTED, "download_failed", "refused_url"])
    assert done.rejected["ftp://127.0.0.1/x.jpg"]["detail"] == "scheme 'ftp'; allowed: http"
    assert {row["image_id"] for row in done.images} == images_of(contents)
    assert {row["source_uri"] for row in done.images} <= set(urls)
    for folder in (tmp_path / "work").rglob("scan-*"):
        shutil.rmtree(folder)  # as if killed before any chunk was committed
    assert ingest(source, "second", urls=URLS, chunk_files=4).shards() == done.shards()
    assert {image_server.asked[f"/{name}"] for name in contents} == {1}


def test_nothing_downloaded_is_worth_another_attempt(ingest, contents, tmp_path, image_server) -> None:
    image_server.failures["/china.jpg"] = 1
    image_server.pages["/china.jpg"] = (200, {}, contents["china.jpg"])
    (tmp_path / "urls.txt").write_text(f"{image_server.url}/china.jpg\n")
    assert ingest(tmp_path / "urls.txt", urls=URLS).code == 1
    assert len(ingest(tmp_path / "urls.txt", urls=URLS).images) == 1


def test_hosts_must_be_named(ingest, tmp_path) -> None:
    (tmp_path / "urls.txt").write_text("https://example.org/a.jpg\n")
    assert ingest(tmp_path / "urls.txt").code == 78


def test_ray_and_local_processes_give_the_same_bytes(ingest, contents, tmp_path, make_tar) -> None:
    pytest.importorskip("ray")
    source = as_tars(contents, tmp_path / "source", make_tar)
    runs = [
        ingest(source, kind, chunk_files=2, engine={"kind": kind, "workers": 2}).shards()
        for kind in ("local", "ray")
    ]
    local, ray = ({name: data for name, data in run.items() if name.endswith(".parquet")} for run in runs)
    assert local == ray
    assert len(local) == 2


def test_settings_pass_as_kubeflow_sends_them(ingest, photographs) -> None:
    settings = json.loads(
        '{"engine": {"workers": 1.0}, "urls": {"connections": 4.0}, "embedding": {"encoder": ""}}'
    )
    assert ingest(photographs, **settings).code == 0
