"""The whole stage through its command line, on real photographs and real bad files."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from components.core.data.dataset import DatasetWriter
from components.core.data.hashing import sha256_hex


def spoil(folder: Path, encode, photograph: Image.Image) -> None:
    """Put one file of every bad kind among the photographs."""
    china = (folder / "china.jpg").read_bytes()
    (folder / "bad").mkdir()
    bad = {
        "truncated.jpg": china[: len(china) // 2],
        "zero.jpg": b"",
        "letter.jpg": b"Dear Sir or Madam",
        "moving.gif": encode(photograph, "GIF"),
        "tiny.png": encode(photograph.resize((16, 16)), "PNG"),
        "huge.png": encode(Image.new("1", (9000, 9000)), "PNG"),
        "copy.jpg": china,
        "zz_smaller.jpg": encode(photograph.resize((300, 200)), "JPEG", quality=80),
    }
    for name, data in bad.items():
        (folder / "bad" / name).write_bytes(data)


EXPECTED = {
    "bad/truncated.jpg": "truncated",
    "bad/zero.jpg": "empty_file",
    "bad/letter.jpg": "not_an_image",
    "bad/moving.gif": "unsupported_format",
    "bad/tiny.png": "too_small",
    "bad/huge.png": "too_many_pixels",
    "china.jpg": "duplicate",  # bad/copy.jpg comes first in the order of names
    "chelsea.png": "near_duplicate",
}


def test_every_file_is_accounted_for(ingest, photographs, encode, photograph) -> None:
    spoil(photographs, encode, photograph)
    done = ingest(photographs)
    assert done.code == 0
    assert done.reasons == EXPECTED
    assert len(done.images) + len(done.rejected) == 15 == done.metrics["files"]
    for row in done.images:
        assert row["image_id"] == sha256_hex(row["bytes"])
        with Image.open(io.BytesIO(row["bytes"])) as image:
            assert (image.format, *image.size) == (row["format"], row["width"], row["height"])
        assert Path(row["source_uri"]).is_file()
    copy = next(row for row in done.images if row["source_uri"].endswith("copy.jpg"))
    assert done.rejected["china.jpg"]["detail"] == f"image_id={copy['image_id']} source=bad/copy.jpg"
    assert "source=bad/zz_smaller.jpg distance=" in done.rejected["chelsea.png"]["detail"]
    assert "truncated" in (done.out / "report.html").read_text()


def test_near_duplicates_stay_when_the_comparison_is_off(ingest, photographs, encode, photograph) -> None:
    (photographs / "zz.jpg").write_bytes(encode(photograph, "JPEG"))
    assert ingest(photographs, near_duplicate_bits=None).reasons == {}
    assert ingest(photographs, out="on", near_duplicate_bits=4).reasons == {"zz.jpg": "near_duplicate"}


def test_workers_and_chunks_do_not_change_a_byte(ingest, photographs, encode, photograph) -> None:
    spoil(photographs, encode, photograph)
    one = ingest(photographs, "one", chunk_files=64, engine={"workers": 1}).shards()
    other = ingest(photographs, "other", chunk_files=2, engine={"workers": 2}).shards()
    assert {name: data for name, data in one.items() if name.endswith(".parquet")} == {
        name: data for name, data in other.items() if name.endswith(".parquet")
    }


def test_images_of_a_benchmark_are_kept_out(ingest, photographs, tmp_path, encode, photograph) -> None:
    item = {"item_id": "i1", "image_group": "g", "question": "?", "answer": "cat", "answer_type": "open"}
    item |= {"choices": [], "category": "", "image": encode(photograph, "BMP")}  # other bytes, equal pixels
    with DatasetWriter(tmp_path / "benchmark", "benchmark") as writer:
        writer.write([item])
    (photographs / "smaller.jpg").write_bytes(encode(photograph.resize((300, 200)), "JPEG"))
    benchmarks = [{"name": "cats", "role": "domain", "ref": str(tmp_path / "benchmark")}]
    near = ingest(photographs, "near", benchmarks)
    assert near.reasons == {"chelsea.png": "in_benchmark", "smaller.jpg": "in_benchmark"}
    assert near.rejected["chelsea.png"]["detail"] == "benchmark=cats item=i1 pixels equal"
    equal = ingest(photographs, "equal", benchmarks, decontamination_bits=None, near_duplicate_bits=None)
    assert equal.reasons == {"chelsea.png": "in_benchmark"}


def test_the_split_holds_whatever_else_is_in_the_folder(ingest, photographs) -> None:
    before = {row["image_id"]: row["split"] for row in ingest(photographs, heldout_fraction=0.5).images}
    assert set(before.values()) == {"train", "heldout"}
    (photographs / "camera.png").unlink()
    after = {
        row["image_id"]: row["split"] for row in ingest(photographs, "after", heldout_fraction=0.5).images
    }
    assert after.items() <= before.items()


def test_links_out_of_the_folder_are_counted(ingest, photographs) -> None:
    (photographs / "link.jpg").symlink_to("/etc/hostname")
    done = ingest(photographs)
    assert done.reasons == {"link.jpg": "unsafe_path"}
    assert done.metrics["files"] == 8


def test_no_usable_image_is_an_error(ingest, tmp_path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    assert ingest(folder).code == 66
    (folder / "a.jpg").write_bytes(b"no image")
    assert ingest(folder).code == 65
    assert ingest(tmp_path / "missing").code == 66


@pytest.mark.parametrize(
    "settings", [{"near_duplicate_bit": 3}, {"formats": ["GIF"]}, {"heldout_fraction": 1.0}]
)
def test_bad_settings_are_refused(ingest, photographs, settings) -> None:
    assert ingest(photographs, **settings).code == 78


def test_killed_and_run_again_gives_the_same_bytes(ingest, photographs, tmp_path, encode) -> None:
    for number in range(60):
        noise = Image.effect_noise((320, 240), 30 + number)
        (photographs / f"noise{number:03d}.jpg").write_bytes(encode(noise, "JPEG"))
    settings = '{"engine": {"workers": 2}, "chunk_files": 4}'
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "components.image_ingest", "--config", settings, "--benchmarks", "[]"]
    command += [
        "--source",
        str(photographs),
        "--images",
        str(out / "images"),
        "--rejected",
        str(out / "rejected"),
        "--enough",
        str(out / "enough"),
    ]
    command += ["--metrics", str(out / "metrics.json"), "--report", str(out / "report.html")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    work = tmp_path / "work"
    deadline = time.monotonic() + 60
    while (
        len(list(work.rglob("scan-*/*.arrow"))) < 3 and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    committed = {path: path.stat().st_mtime_ns for path in work.rglob("scan-*/*.arrow")}
    assert committed
    resumed = ingest(photographs, "killed", engine={"workers": 2}, chunk_files=4)
    assert resumed.code == 0
    assert {path: path.stat().st_mtime_ns for path in committed} == committed  # nothing was decoded twice
    for path in committed:
        path.unlink()
    fresh = ingest(photographs, "fresh", engine={"workers": 2}, chunk_files=4)
    assert fresh.shards() == resumed.shards()
