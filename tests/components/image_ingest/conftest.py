"""Real photographs, archives, an HTTP server, and a run of the stage through its command line."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import skimage
import sklearn.datasets

from components.core.data.dataset import Dataset
from components.core.stage.runner import stage_main
from components.image_ingest.component import IO
from components.image_ingest.config import Config
from components.image_ingest.entry import Source
from components.image_ingest.stage import run

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.datasets.__file__).parent / "images"
PHOTOGRAPHS = (
    SKLEARN / "china.jpg",
    SKLEARN / "flower.jpg",
    SKIMAGE / "astronaut.png",
    SKIMAGE / "chelsea.png",
    SKIMAGE / "coffee.png",
    SKIMAGE / "rocket.jpg",
    SKIMAGE / "camera.png",
)


@dataclass(frozen=True)
class Ingested:
    """The results of one run of the stage."""

    code: int
    out: Path

    @property
    def images(self) -> list[dict[str, Any]]:
        return list(Dataset.open(self.out / "images", "images").rows_iter())

    @property
    def rejected(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in Dataset.open(self.out / "rejected", "rejected").rows_iter()}

    @property
    def reasons(self) -> dict[str, str]:
        return {key: row["reason"] for key, row in self.rejected.items()}

    @property
    def metrics(self) -> dict[str, float]:
        return json.loads((self.out / "metrics.json").read_text())

    def shards(self) -> dict[str, bytes]:
        """Every byte of both datasets, by file name."""
        files = [file for name in ("images", "rejected") for file in sorted((self.out / name).iterdir())]
        return {file.relative_to(self.out).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ingested]:
    """Run the stage as its container: ingest(source, out="...", benchmarks=[...], seen="...", **settings)."""
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))

    def go(
        source: Path,
        out: str = "out",
        benchmarks: list[dict[str, str]] | None = None,
        seen: str = "",
        **settings: Any,
    ) -> Ingested:
        folder = tmp_path / out
        argv = ["--config", json.dumps({"engine": {"workers": 1}, **settings}), "--source", str(source)]
        argv += ["--benchmarks", json.dumps(benchmarks or []), "--seen", seen]
        for name in ("images", "rejected", "enough"):
            argv += [f"--{name}", str(folder / name)]
        argv += ["--metrics", str(folder / "metrics.json"), "--report", str(folder / "report.html")]
        return Ingested(stage_main("image_ingest", Config, IO, run, argv), folder)

    return go


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of seven real photographs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for photograph in PHOTOGRAPHS:
        shutil.copy(photograph, folder)
    return folder


class ImageServer:
    """Serves `pages[path] = (status, headers, body)` and counts requests."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.failures: Counter[str] = Counter()
        """Requests of a path to answer with 503 before the page is served."""
        self.asked: Counter[str] = Counter()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked[self.path] += 1
                status, headers, body = server.pages.get(self.path, (404, {}, b""))
                if server.failures[self.path] > 0:
                    server.failures[self.path] -= 1
                    status, headers, body = 503, {}, b""
                self.send_response(status)
                headers = {"Content-Length": str(len(body)), **headers}
                for name, value in headers.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                if not headers["Content-Length"]:
                    self.close_connection = True
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the terminal."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that hang up are part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def image_server() -> Iterator[ImageServer]:
    server = ImageServer()
    yield server
    server.stop()


@pytest.fixture
def make_tar() -> Callable[..., Path]:
    """make_tar(path, {"name": bytes | TarInfo, ...}) -> path."""

    def go(path: Path, members: dict[str, bytes | tarfile.TarInfo], format: int = tarfile.PAX_FORMAT) -> Path:
        with tarfile.open(path, "w", format=format) as archive:
            for name, content in members.items():
                if isinstance(content, tarfile.TarInfo):
                    archive.addfile(content)
                    continue
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return go


@pytest.fixture
def read_all() -> Callable[[Source], dict[str, object]]:
    """Every entry of a source by name: its bytes, or the reason for which it is refused."""

    def go(source: Source) -> dict[str, object]:
        entries = list(source.entries())
        read = source.read([entry for entry in entries if entry.rejection is None])
        found: dict[str, object] = {}
        for entry in entries:
            content = entry.rejection or next(iter(read))
            assert entry.name not in found
            found[entry.name] = content if isinstance(content, bytes) else content.reason.value
        return found

    return go
