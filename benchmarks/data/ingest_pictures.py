"""Pictures for the ingest benchmark, and a loopback server for them.

python -m benchmarks.data.ingest_pictures FOLDER
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from aiohttp import web
from PIL import Image

WIDTH, HEIGHT = 640, 480
_EVERY = 50


def planted(count: int) -> list[int]:
    """Numbers of the pictures that are another one, compressed more."""
    return list(range(_EVERY - 1, count, _EVERY))


def write_pictures(folder: Path, count: int) -> None:
    """Write `count` JPEGs, if they are not there yet."""
    done = folder / ".done"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    copies = set(planted(count))
    for number in range(count):
        source, quality = (number - _EVERY // 2, 60) if number in copies else (number, 85)
        (folder / f"{number:06d}.jpg").write_bytes(picture(source, quality))
    done.touch()


def picture(seed: int, quality: int) -> bytes:
    """A JPEG of smooth random colours with grain."""
    rng = np.random.default_rng(seed)
    colours = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(colours.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = rng.integers(-14, 15, (HEIGHT, WIDTH, 1), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


async def _serve(folder: str) -> web.Application:
    app = web.Application()
    app.router.add_static("/", folder)
    return app


if __name__ == "__main__":
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    web.run_app(_serve(sys.argv[1]), sock=listener, print=None)
