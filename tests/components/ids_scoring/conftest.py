"""A real HTTP server that answers ImageScore requests from the picture, and a run by the command line."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.hashing import sha256_hex
from components.core.stage.runner import stage_main
from components.ids_scoring.component import IO
from components.ids_scoring.config import Config
from components.ids_scoring.stage import run
from tests.serving import QuietHandler, serving


class ScoringServer(ThreadingHTTPServer):
    """Rates a picture by its mean red, green and blue; fails for pictures whose bytes are in `faults`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.faults: dict[str, str] = {}

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    server: ScoringServer

    def do_POST(self) -> None:
        body = json.loads(self.body())
        self.server.requests.append(body)
        content = body["messages"][0]["content"]
        data = base64.b64decode(content[0]["image_url"]["url"].partition("base64,")[2])
        fault = self.server.faults.get(sha256_hex(data))
        if fault == "refuse":
            self.send(400, {"error": {"message": "the picture is refused"}})
            return
        with Image.open(io.BytesIO(data)) as image:
            red, green, blue = (
                value / 25.5 for value in image.convert("RGB").resize((1, 1)).getpixel((0, 0))
            )
        answer = {"rationale": "mean colours", "caption": f"red {red:.1f}", "world_knowledge": 5}
        answer |= {"subject_diversity": red, "spatial_relationships": green, "ocr_text_richness": blue}
        if fault == "out_of_range":
            answer["world_knowledge"] = 11
        self.send(200, {"choices": [{"message": {"role": "assistant", "content": json.dumps(answer)}}]})


@pytest.fixture
def scoring_server() -> Iterator[ScoringServer]:
    with serving(ScoringServer()) as server:
        yield server


COLOURS = [(0, 0, 0), (51, 51, 51), (102, 153, 204), (204, 204, 204), (255, 255, 255), (255, 0, 0)]


@pytest.fixture
def images(tmp_path: Path) -> dict[str, bytes]:
    """image_id -> bytes of an images dataset at tmp_path/images: six single-coloured pictures."""
    pictures = {}
    rows = []
    for number, colour in enumerate(COLOURS):
        buffer = io.BytesIO()
        Image.new("RGB", (40, 40), colour).save(buffer, "PNG")
        data = buffer.getvalue()
        pictures[sha256_hex(data)] = data
        row = {"image_id": sha256_hex(data), "bytes": data, "format": "PNG", "width": 40, "height": 40}
        rows.append({**row, "phash": number, "source_uri": f"{number}.png", "split": "train"})
    with DatasetWriter(tmp_path / "images", "images") as writer:
        writer.write(rows)
    return pictures


@pytest.fixture
def score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, list[dict], list[dict]]]:
    """Run the stage on tmp_path/images: score(out="...", **settings) -> (exit code, ids, rejected)."""
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))

    def go(out: str = "out", **settings: Any) -> tuple[int, list[dict], list[dict]]:
        folder = tmp_path / out
        argv = ["--config", json.dumps(settings), "--images", str(tmp_path / "images")]
        for name in ("ids", "rejected"):
            argv += [f"--{name}", str(folder / name)]
        argv += ["--metrics", str(folder / "metrics.json"), "--report", str(folder / "report.html")]
        code = stage_main("ids_scoring", Config, IO, run, argv)
        if code:
            return code, [], []
        return code, *(list(Dataset.open(folder / name, name).rows_iter()) for name in ("ids", "rejected"))

    return go
