"""The simulated teachers inside another program: a server on a free port, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from demo.teachers.models import ModelSpec, load_models
from demo.teachers.server import TEACHERS, Teachers, make_app
from demo.world.index import WorldIndex


@dataclass(frozen=True)
class Running:
    """A server that answers at `base_url`; `teachers` is the object behind it."""

    base_url: str
    teachers: Teachers


@contextlib.contextmanager
def running_teachers(index: WorldIndex, models: dict[str, ModelSpec] | None = None) -> Iterator[Running]:
    """Serve until the block ends. `models` defaults to those of `models.yaml`."""
    app = make_app(index, models or load_models())
    runner = web.AppRunner(app, access_log=None)
    loop = asyncio.new_event_loop()

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    thread = threading.Thread(target=loop.run_forever, name="teachers", daemon=True)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=30)
        yield Running(f"http://127.0.0.1:{port}/v1", app[TEACHERS])
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=30)
        loop.close()
