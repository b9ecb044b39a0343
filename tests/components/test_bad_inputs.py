"""Bad data of users, given to the stages that read it: a code from 64 to 78 and one clear line, or success.

What is taken in part succeeds, and the rest is in `rejected` or in the report. Nothing ends in a traceback.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import logging
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.pins import pin
from components.core.stage.errors import PERMANENT_EXIT_CODES, ConfigError
from components.core.stage.io import flag, stage_io
from components.core.stage.log import get_logger
from components.core.stage.runner import stage_main
from components.core.stage.settings import stage_config
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[2]
Write = Callable[[Path], Path]


def png(size: int = 64, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


class Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., tuple[int, list[str]]]:
    """run(stage, config, **arguments) -> the exit code, and the lines that were logged as errors."""
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))

    def go(stage: str, config: dict[str, Any], **arguments: object) -> tuple[int, list[str]]:
        io_ = stage_io(stage)
        out = tmp_path / "out"
        written = {name: out / name for name in io_.written}
        paths = {**written, "metrics": out / "metrics.json", "report": out / "report.html", **arguments}
        argv = ["--config", json.dumps(config)]
        argv += [str(part) for name, value in paths.items() for part in (flag(name), value)]
        module = importlib.import_module(f"components.{stage}.stage")
        heard = Errors()
        log = get_logger(stage)
        log.addHandler(heard)
        try:
            code = stage_main(stage, stage_config(stage), io_, module.run, argv)
        finally:
            log.removeHandler(heard)
        return code, heard.lines

    return go


def one_clear_end(code: int, errors: list[str]) -> None:
    assert "Traceback" not in "".join(errors), errors
    if code:
        assert code in PERMANENT_EXIT_CODES, errors
        assert len(errors) == 1, errors


def in_folder(**files: bytes) -> Write:
    def write(root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            path = root / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    return write


def file(name: str, data: bytes) -> Write:
    def write(root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        return root / name

    return write


def parquet(name: str, **columns: Any) -> Write:
    def write(root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), root / name)
        return root / name

    return write


def link(target: str) -> Write:
    def write(root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        (root / "link.jpg").symlink_to(target)
        (root / "good.png").write_bytes(png())
        return root

    return write


def pipe(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    os.mkfifo(root / "pipe.jpg")
    (root / "good.png").write_bytes(png())
    return root


def tar(*names: str, tail: bytes = b"") -> Write:
    def write(root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        with tarfile.open(root / "a.tar", "w") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(png())
                archive.addfile(member, io.BytesIO(png()))
        with open(root / "a.tar", "ab") as archive:
            archive.write(tail)
        return root / "a.tar"

    return write


BAD_PICTURES: dict[str, Write] = {
    "nothing there": lambda root: root / "nowhere",
    "an empty folder": in_folder(),
    "no picture in it": in_folder(notes_DOT_txt=b"hello"),
    "pictures of no bytes": in_folder(a_DOT_jpg=b"", b_DOT_png=b""),
    "a cut picture beside a whole one": in_folder(a_DOT_png=png()[:60], b_DOT_png=png()),
    "a link that leads nowhere": link("nowhere.jpg"),
    "a link to itself": link("link.jpg"),
    "a pipe": pipe,
    "an empty archive": file("a.tar", b""),
    "an archive of zeros": file("a.tar", bytes(10240)),
    "an archive that is none": file("a.tar", b"garbage" * 1000),
    "a packed archive": file("a.tar.gz", b"\x1f\x8b" + bytes(100)),
    "an archive with garbage behind it": tar("a.png", tail=b"garbage" * 1000),
    "an archive of hidden files": tar(".a.png"),
    "a table that is none": file("a.parquet", b"garbage"),
    "a table without bytes": parquet("a.parquet", label=[1, 2]),
    "a table of nulls": parquet("a.parquet", image=pa.array([None, None], pa.binary())),
    "a table of empty lists": parquet("a.parquet", images=pa.array([[], None], pa.list_(pa.binary()))),
    "a table of texts": parquet("a.parquet", image=pa.array([b"no", b"picture"], pa.binary())),
    "a list without the column": file("a.csv", b"id,link\n1,x\n"),
    "a list of nothing": file("a.csv", b""),
    "a list in binary": file("a.txt", bytes(range(256)) * 4),
    "a list in JSON that is none": file("a.jsonl", b"\xff\xfe{\n[]\n3\n"),
    "a list of wrong lines": file("a.csv", b'url\n"x\n'),
    "a spreadsheet": file("a.xlsx", b"PK\x03\x04"),
    "another scheme": lambda root: Path("gs://bucket/photos"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_ingest(name, run, tmp_path) -> None:
    config = {"urls": {"hosts": ["*"], "retries": 0}, "min_side_px": 1, "engine": {"workers": 1}}
    source = BAD_PICTURES[name](tmp_path / "source")
    one_clear_end(*run("image_ingest", config, source=source, benchmarks="[]"))


def test_ingest_goes_on_without_a_folder_that_it_may_not_read(run, tmp_path, unreadable) -> None:
    source = in_folder(a_DOT_png=png())(tmp_path / "source")
    unreadable(source / "lost+found")
    code, errors = run("image_ingest", {"engine": {"workers": 1}}, source=source, benchmarks="[]")
    assert (code, errors) == (0, [])
    rejected = list(Dataset.open(tmp_path / "out/rejected", "rejected").rows_iter())
    assert [(row["id"], row["reason"]) for row in rejected] == [("lost+found/", "unreadable")]


TURNS = [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "red"}]


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


BAD_GENERAL: dict[str, Write] = {
    "nothing there": lambda root: root / "nowhere",
    "an empty folder": in_folder(),
    "an empty file": in_folder(a_DOT_jsonl=b""),
    "a list that breaks off": in_folder(a_DOT_json=b'[{"messages": []}, {"mess'),
    "no JSON": in_folder(a_DOT_jsonl=b"\x00\x01\n\xff\n"),
    "JSON in UTF-16": in_folder(a_DOT_jsonl='{"messages": []}\n'.encode("utf-16")),
    "a number too deep": in_folder(a_DOT_jsonl=b"[" * 100_000),
    "only packed files": in_folder(a__x_DOT_jsonl_DOT_gz=b"\x1f\x8b"),
    "records without turns": in_folder(a_DOT_jsonl=lines({"text": "x"})),
    "pictures that are missing": in_folder(a_DOT_jsonl=lines({"messages": TURNS, "images": ["no.png"]})),
    "pictures that are none": in_folder(
        a_DOT_jsonl=lines({"messages": TURNS, "images": ["a.png"]}), a_DOT_png=b"no picture"
    ),
    "pictures that are cut": in_folder(
        a_DOT_jsonl=lines({"messages": TURNS, "images": ["a.png"]}), a_DOT_png=png()[:80]
    ),
    "videos": in_folder(a_DOT_jsonl=lines({"messages": TURNS, "videos": ["a.mp4"]})),
    "a table that is none": in_folder(a_DOT_parquet=b"garbage"),
    "a table without turns": parquet("a.parquet", text=["x"]),
    "a saved set without its state": in_folder(set__state_DOT_json=b"{"),
    "a saved set of other splits": in_folder(set__dataset_dict_DOT_json=b'{"splits": ["test"]}'),
    "a saved set whose splits are none": in_folder(set__dataset_dict_DOT_json=b"[1"),
    "a dataset without manifest": in_folder(samples__a=b"", images__b=b""),
}


GOOD_GENERAL = in_folder(a_DOT_jsonl=lines({"messages": TURNS, "images": ["a.png"]}), a_DOT_png=png())


@pytest.fixture
def small_world(tmp_path, coloured_pictures) -> dict[str, Path]:
    """The inputs of training that come from the pipeline itself, with nothing in them."""
    tables = ("images", "qa_kept", "qa_rejected", "votes")
    for table in tables:
        with DatasetWriter(tmp_path / "world" / table, table) as writer:
            writer.write([])
    return {table: tmp_path / "world" / table for table in tables}


@pytest.mark.parametrize("name", BAD_GENERAL)
def test_training(name, run, tmp_path, small_world, tiny_checkpoint) -> None:
    general = BAD_GENERAL[name](tmp_path / "general")
    config = {"domain_share": 0.0, "max_steps": 1}
    code, errors = run(
        "curriculum_sft", config, base_model=tiny_checkpoint, general_data=general, **small_world
    )
    one_clear_end(code, errors)
    assert code, "nothing here can be trained on"


ROW = "index\tquestion\tanswer\timage\n"
PICTURE = base64.b64encode(png()).decode()
BAD_BENCHMARKS: dict[str, Write] = {
    "nothing there": lambda root: root / "nowhere.tsv",
    "an empty file": file("b.tsv", b""),
    "no columns": file("b.tsv", b"a\tb\n1\t2\n"),
    "no rows": file("b.tsv", ROW.encode()),
    "a cut row": file("b.tsv", f"{ROW}1\tWhat?\n".encode()),
    "no base64": file("b.tsv", f"{ROW}1\tWhat?\tred\t{'!' * 100}\n".encode()),
    "base64 of no picture": file("b.tsv", f"{ROW}1\tWhat?\tred\t{'aGVsbG8h' * 20}\n".encode()),
    "a cut picture": file("b.tsv", f"{ROW}1\tWhat?\tred\t{PICTURE[:96]}\n".encode()),
    "a reference to no row": file("b.tsv", f"{ROW}1\tWhat?\tred\t7\n".encode()),
    "not UTF-8": file("b.tsv", ROW.encode() + b"1\t\xff\xfe\tred\t1\n"),
    "probes that are no JSON": file("b.jsonl", b"{\n"),
    "probes without labels": file("b.jsonl", b'{"text": "?", "image": "a.png"}\n'),
    "probes in bytes": file("b.jsonl", b"\xff\xfe\x00"),
    "a needle without settings": file("b.needle.json", b'{"lengths": "x"}'),
    "a needle that is no JSON": file("b.needle.json", b"{"),
    "a dataset that is none": in_folder(_MANIFEST_DOT_json=b"{"),
    "a folder of nothing": in_folder(),
    "a table": parquet("b.parquet", question=["?"]),
}


@pytest.mark.parametrize("name", BAD_BENCHMARKS)
def test_evaluation(name, run, tmp_path, small_world, tiny_checkpoint) -> None:
    path = BAD_BENCHMARKS[name](tmp_path / "benchmark")
    benchmark = [{"name": "b", "role": "general", "ref": str(path), "kind": "choice"}]
    inputs = {name: small_world[name] for name in ("images", "qa_kept")}
    params = {"base_model": tiny_checkpoint, "benchmarks": json.dumps(benchmark), "label": "base"}
    code, errors = run("evaluation", {"max_new_tokens": 2}, **params, **inputs)
    one_clear_end(code, errors)
    assert code, "nothing here can be scored"


@pytest.mark.parametrize("name", BAD_BENCHMARKS)
def test_preflight_of_benchmarks(name, run, tmp_path, tiny_checkpoint) -> None:
    path = BAD_BENCHMARKS[name](tmp_path / "benchmark")
    images = in_folder(a_DOT_png=png())(tmp_path / "images")
    general = in_folder(a_DOT_jsonl=lines({"messages": TURNS, "images": ["a.png"]}), a_DOT_png=png())(
        tmp_path / "general"
    )
    benchmark = {"name": "b", "role": "general", "uri": str(path), "kind": "choice"}
    config = {"images": str(images), "general_data": str(general), "base_model": str(tiny_checkpoint)}
    code, errors = run("preflight", {**config, "benchmarks": [benchmark], "min_free_disk_gib": 0})
    one_clear_end(code, errors)
    assert code, errors


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_preflight_of_pictures(name, run, tmp_path, tiny_checkpoint) -> None:
    source = BAD_PICTURES[name](tmp_path / "source")
    general = in_folder(a_DOT_jsonl=lines({"messages": TURNS, "images": ["a.png"]}), a_DOT_png=png())(
        tmp_path / "general"
    )
    config = {"images": str(source), "general_data": str(general), "base_model": str(tiny_checkpoint)}
    one_clear_end(*run("preflight", {**config, "min_free_disk_gib": 0}))


@pytest.mark.parametrize("name", BAD_GENERAL)
def test_preflight_of_general_data(name, run, tmp_path, tiny_checkpoint) -> None:
    general = BAD_GENERAL[name](tmp_path / "general")
    images = in_folder(a_DOT_png=png())(tmp_path / "images")
    config = {"images": str(images), "general_data": str(general), "base_model": str(tiny_checkpoint)}
    code, errors = run("preflight", {**config, "min_free_disk_gib": 0})
    one_clear_end(code, errors)
    assert code, errors


def test_preflight_tells_what_is_left_out(run, tmp_path, tiny_checkpoint, unreadable) -> None:
    images = in_folder(a_DOT_png=png(), b_DOT_heic=b"x", c_DOT_mp4=b"x")(tmp_path / "images")
    unreadable(images / "lost+found")
    (images / "broken.jpg").symlink_to("nowhere.jpg")
    record = {"messages": TURNS, "images": ["a.png"]}
    general = in_folder(
        a_DOT_jsonl=lines(record), b_DOT_jsonl_DOT_gz=b"\x1f\x8b", c_DOT_csv=b"x", a_DOT_png=png()
    )(tmp_path / "general")
    unreadable(general / "lost+found")
    config = {"images": str(images), "general_data": str(general), "base_model": str(tiny_checkpoint)}
    code, errors = run("preflight", {**config, "min_free_disk_gib": 0})
    assert (code, errors) == (0, [])
    page = (tmp_path / "out/report.html").read_text()
    for told in ("2 other files (", ".heic 1", ".mp4 1", "1 folders cannot be read", "3 files are not taken"):
        assert told in page, told
    assert pin(str(images)) == pin(str(images))


BAD_DOMAINS = {
    "nothing there": None,
    "an empty file": b"",
    "no YAML": b"{\n: [",
    "a list": b"- a\n",
    "no labels": b"domain: x\n",
    "labels that are none": b"domain: x\nlabels: 3\n",
    "a label without dimension": b"domain: x\nlabels: [{name: a}]\n",
    "two sections of one name": b"domain: x\nlabels: [{name: a, dimension: domain}]\nlabels: []\n",
    "two labels of one name": b"domain: x\nlabels: [&a {name: a, dimension: domain}, *a]\n",
    "another key": b"domain: x\nlabel: []\n",
    "bytes": b"\xff\xfe\x00\x01",
    "a tab": b"domain: x\n\tlabels: []\n",
    "an anchor without end": b"domain: *x\nlabels: []\n",
    "Python": b"domain: !!python/object:os.system x\nlabels: []\n",
    "a folder": "folder",
}


@pytest.mark.parametrize("name", BAD_DOMAINS)
def test_the_domain_file(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    path, content = tmp_path / "domain.yaml", BAD_DOMAINS[name]
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    profile = tmp_path / "run.yaml"
    profile.write_text(f"extends: {ROOT}/configs/demo.yaml\ndomain: {path}\n")
    with pytest.raises(ConfigError) as raised:
        load_profile(profile)
    assert raised.value.exit_code == 78
