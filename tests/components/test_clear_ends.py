"""Every stage ends with one clear line and an exit code of 64 to 78, whatever it is given.

The stages' own command lines run in this process, with the settings of a profile.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.core.data.checkpoint import commit_checkpoint
from components.core.data.dataset import DatasetWriter
from components.core.data.manifest import MANIFEST_NAME
from components.core.data.tables import SCHEMAS
from components.core.stage.errors import PERMANENT_EXIT_CODES
from components.core.stage.io import flag, stage_io
from components.core.stage.runner import stage_main
from components.core.stage.settings import stage_config
from components.stages import SECTIONS, STAGES
from pipelines.profile.run_profile import load_profile
from tests.house import ROOT
from tests.serving import QuietHandler, serving

READING = tuple(stage for stage in STAGES if stage_io(stage).inputs)
ASKING = ("ids_scoring", "label_tree", "topic_matching", "qa_synthesis", "voting_filter")
Ended = tuple[int, list[str]]


@pytest.fixture(scope="session")
def sections() -> dict[str, dict[str, Any]]:
    """The settings of every stage, by section."""
    return {
        name: dict(section) for name, section in load_profile(ROOT / "configs/smoke.yaml").sections.items()
    }


def section_of(stage: str) -> str:
    return next(name for name, section in SECTIONS.items() if section.stage == stage)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, "PNG")
    return buffer.getvalue()


class Stage:
    """One stage's command line in a folder of its own, to be spoilt."""

    def __init__(self, stage: str, config: dict[str, Any], folder: Path) -> None:
        self.stage, self.folder, self.io = stage, folder, stage_io(stage)
        self.config: Any = config
        self.options: dict[str, str] = {}
        for name in self.io.inputs:
            self._write(name)
            self.options[flag(name)] = str(folder / name)
        for name in self.io.params:
            self.options[flag(name)] = "[]" if name == "benchmarks" else str(folder / "outside")
        for name in (*self.io.written, "metrics", "report"):
            self.options[flag(name)] = str(folder / "out" / name)

    def _write(self, name: str) -> None:
        path = self.folder / name
        if name == "images":
            picture = {"bytes": png(), "format": "PNG", "width": 8, "height": 8, "phash": 0}
            rows = [
                {"image_id": f"{i:064x}", **picture, "source_uri": "a", "split": "train"} for i in range(3)
            ]
        else:
            rows = []
        table = {"predictions_base": "predictions", "predictions_hybrid_rl": "predictions"}.get(name, name)
        if table in SCHEMAS:
            with DatasetWriter(path, table) as writer:
                writer.write(rows)
        elif "checkpoint" in name:
            path.mkdir()
            (path / "config.json").write_text("{}")
            commit_checkpoint(path)
        else:
            path.write_text("{}")

    def run(self) -> int:
        text = self.config if isinstance(self.config, str) else json.dumps(self.config)
        options = {"--config": text, **self.options}
        run = import_module(f"components.{self.stage}.stage").run
        argv = [part for option in options.items() for part in option]
        return stage_main(self.stage, stage_config(self.stage), self.io, run, argv)


@pytest.fixture
def made(tmp_path, sections, monkeypatch) -> Callable[[str], Stage]:
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    return lambda stage: Stage(stage, dict(sections[section_of(stage)]), tmp_path)


@pytest.fixture
def ended(monkeypatch) -> Callable[[Stage], Ended]:
    """Run a stage: its exit code, and the errors that it logged."""

    def go(stage: Stage) -> Ended:
        errors: list[str] = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger(stage.stage)
        logger.addHandler(handler)
        try:
            return stage.run(), errors
        finally:
            logger.removeHandler(handler)

    return go


def clear(
    ended: Ended, codes: range | tuple[int, ...] = PERMANENT_EXIT_CODES, *, several: bool = False
) -> str:
    """The one line of a stage that ended as it should; preflight names several problems, each on its line."""
    code, errors = ended
    assert code in codes, (code, errors)
    (line,) = errors
    assert "Traceback" not in line and (several or "\n" not in line), line
    return line


SETTINGS: dict[str, Any] = {
    "no JSON": "{'a': 1}",
    "empty": "",
    "a list": "[1]",
    "a number": "7",
    "null": "null",
    "unknown": {"no_such_setting": 1},
    "not a number": '{"seed": NaN}',
    "a huge number": '{"seed": ' + "9" * 5000 + "}",
    "infinite": {"no_such_setting": float("inf")},
    "deeply nested": "[" * 100_000,
    "a zero byte": {"x\0y": 1},
    "a zero byte in a value": {"no_such_setting": "a\0b"},
    "half a character": '{"x": "\\ud800"}',
    "no file": "@nowhere.json",
    "a folder": "@.",
    "a file of bytes": "@bytes",
    "no path": "@a\0b",
    "a path that is too long": "@" + "a" * 5000,
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_bad_settings(made, ended, tmp_path, stage, settings):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    broken = made(stage)
    broken.config = {**broken.config, **settings} if isinstance(settings, dict) else settings
    assert len(clear(ended(broken))) < 1000


def _remove(path: Path) -> None:
    path.rename(path.with_name("aside"))


def _as_file(path: Path) -> None:
    _remove(path)
    path.write_text("text")


def _empty(path: Path) -> None:
    _remove(path)
    path.mkdir()


def _other_table(path: Path) -> None:
    _remove(path)
    with DatasetWriter(path, "rl_prompts") as writer:
        writer.write([])


def manifest(text: str | bytes | Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        file = path / MANIFEST_NAME
        if not file.exists():  # a plain file is spoilt in its own way
            path.write_bytes(b"\xff\x00")
        elif callable(text):
            file.write_text(json.dumps(text(json.loads(file.read_text()))))
        else:
            file.write_bytes(text.encode() if isinstance(text, str) else text)

    return spoil


def _garbage_shard(path: Path) -> None:
    """A shard that is no Parquet, with the manifest that belongs to it."""
    from components.core.data.manifest import file_entry

    file = path / MANIFEST_NAME
    if not file.exists():
        path.write_text("[")
        return
    listed = json.loads(file.read_text())
    (path / "garbage").write_bytes(b"garbage")
    listed["files"] = [file_entry(path / "garbage", "garbage", rows=1)]
    file.write_text(json.dumps({**listed, "rows": 1}))


INPUTS: dict[str, Callable[[Path], None]] = {
    "missing": _remove,
    "a file": _as_file,
    "an empty folder": _empty,
    "another table": _other_table,
    "a manifest of bytes": manifest(b"\xff\xfe"),
    "a manifest that is no JSON": manifest("{"),
    "a manifest that is a list": manifest("[]"),
    "a manifest without files": manifest('{"kind": "dataset"}'),
    "a manifest that is nested": manifest("[" * 100_000),
    "files that are no entries": manifest(lambda old: {**old, "files": [1]}),
    "entries without a size": manifest(lambda old: {**old, "files": [{"name": "a"}]}),
    "a file outside": manifest(lambda old: {**old, "files": [{"name": "../a", "bytes": 1, "sha256": "0"}]}),
    "a missing file": manifest(lambda old: {**old, "files": [{"name": "a", "bytes": 1, "sha256": "0"}]}),
    "no kind": manifest(lambda old: {**old, "kind": None}),
    "no further fields": manifest(lambda old: {"kind": old["kind"], "files": old["files"]}),
    "a shard of garbage": _garbage_shard,
}


@pytest.mark.parametrize("stage", READING)
@pytest.mark.parametrize("spoil", INPUTS.values(), ids=INPUTS)
def test_bad_inputs(made, ended, tmp_path, stage, spoil):
    for name in stage_io(stage).inputs[:1]:
        broken = made(stage)
        spoil(tmp_path / name)
        clear(ended(broken))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("place", ["outputs", "work"])
def test_places_that_cannot_be_written(made, ended, tmp_path, monkeypatch, stage, place):
    (tmp_path / "file").write_text("in the way")
    broken = made(stage)
    if place == "work":
        monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "file" / "work"))
    else:
        for name in (*broken.io.written, "metrics", "report"):
            broken.options[flag(name)] = str(tmp_path / "file" / name)
    clear(ended(broken), several=stage == "preflight")


@pytest.mark.parametrize("stage", STAGES)
def test_outside_data_that_is_not_there(made, ended, stage):
    broken = made(stage)
    for name in broken.io.params:
        broken.options[flag(name)] = "nowhere#sha256=0" if name != "benchmarks" else "{"
    code, errors = ended(broken)
    assert "Traceback" not in "".join(errors)
    assert code in (0, *PERMANENT_EXIT_CODES) and len(errors) <= 1


class Server(ThreadingHTTPServer):
    daemon_threads = True
    reply: tuple[int, bytes] = (200, b"")


class _Handler(QuietHandler):
    server: Server

    def do_POST(self) -> None:
        self.body()
        self.send(*self.server.reply)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server(("127.0.0.1", 0), _Handler)) as server:
        yield server


def pointed(value: Any, url: str) -> Any:
    """Settings with every endpoint at this address, asked once."""
    if isinstance(value, dict):
        value = {key: pointed(item, url) for key, item in value.items()}
        return {**value, "base_url": url, "max_retries": 0} if "base_url" in value else value
    return [pointed(item, url) for item in value] if isinstance(value, list | tuple) else value


ENDPOINTS = {
    "an HTML page": (200, b"<html><title>Log in</title></html>"),
    "a broken body": (200, b'{"choices": ['),
    "an error": (200, b'{"error": {"message": "the engine is dead"}}'),
    "500": (500, b"\xff\xfe"),
    "401": (401, b'{"error": {"message": "Incorrect API key"}}'),
    "no quota": (429, b'{"error": {"code": "insufficient_quota", "message": "pay"}}'),
    "a refused parameter": (400, b'{"error": {"message": "Unsupported parameter: max_tokens"}}'),
    "a redirect": (307, b""),
    "nested": (200, b"[" * 100_000),
}


@pytest.mark.parametrize("stage", ASKING)
@pytest.mark.parametrize("reply", [*ENDPOINTS.values(), None], ids=[*ENDPOINTS, "nobody"])
def test_bad_endpoints(made, ended, tmp_path, server, stage, reply):
    server.reply = reply or (200, b"")
    port = server.server_address[1] if reply else 9
    broken = made(stage)
    _fill(broken)
    broken.config = pointed(broken.config, f"http://127.0.0.1:{port}/v1")
    clear(ended(broken), (69,))


def _fill(stage: Stage) -> None:
    """Rows beside the three pictures, so that every stage has something to ask."""
    ids = [f"{i:064x}" for i in range(3)]
    scores = dict.fromkeys(("subject_diversity", "spatial_relationships", "ocr_text_richness"), 5.0)
    tables: dict[str, list[dict[str, Any]]] = {
        "ids": [
            {"image_id": i, **scores, "world_knowledge": 5.0, "ids": 5.0, "n_qa": 2, "caption": "a clock"}
            for i in ids
        ],
        "label_tree": [
            {
                "topic_id": "abc"[:level],
                "path": ["a", "b", "c"][:level],
                "level": level,
                "name": "abc"[level - 1],
                "dimension": "domain",
                "parent_id": "abc"[: level - 1],
                "origin": "model",
                "embedding": [1.0, 0.0],
            }
            for level in (1, 2, 3)
        ],
        "matches": [{"image_id": i, "topic_id": "abc", "coarse": 1.0, "fine": 1.0, "rank": 0} for i in ids],
        "qa": [
            {"qa_id": f"q{i}", "image_id": i, "question": "?", "answer": "1", "answer_type": "count"}
            for i in ids
        ],
    }
    for name, rows in tables.items():
        if name in stage.io.inputs:
            blank = {
                column: _blank(kind)
                for column, kind in zip(SCHEMAS[name].names, SCHEMAS[name].types, strict=True)
            }
            with DatasetWriter(stage.folder / name, name) as writer:
                writer.write([{**blank, **{k: v for k, v in row.items() if k in blank}} for row in rows])


def _blank(kind: Any) -> Any:
    text = str(kind)
    if text.startswith("list"):
        return []
    return "" if text == "string" else False if text == "bool" else b"" if text == "binary" else 0
