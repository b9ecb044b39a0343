"""`vlm-posttrain serve`: the front, the server behind it, and the watch over the registry's pointer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from components.core.stage.errors import PERMANENT_EXIT_CODES, ConfigError, EndpointError, StageError
from pipelines.serving.child import START_LIMIT_S, Server
from pipelines.serving.front import Backend, Front
from pipelines.serving.parity import check_parity
from pipelines.serving.targets import CURRENT, Places, Target, find_target, find_version, version_target


@dataclass(frozen=True)
class ServeSettings:
    """How a model is served."""

    wanted: str
    """What to serve: see `find_target`; `current` is followed as the pointer moves."""
    places: Places
    host: str
    port: int
    engine: str
    extra: Sequence[str] = ()
    """Further arguments of the engine."""
    watch_s: float = 5.0
    """Seconds between two looks at the pointer."""
    drain_s: float = 300.0
    """How long a replaced server may work on its last requests."""
    overlap: bool = True
    """Whether the next server starts while the last still runs: that needs memory for two models."""
    log: Path = Path("build/served/server.log")


@dataclass(eq=False)
class Running:
    """A target that is served, by which process, at which address."""

    target: Target
    server: Server
    backend: Backend


class Service:
    """One served target at a time; `say` tells the user what happens."""

    def __init__(self, settings: ServeSettings, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self._running: Running | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._refused = self._unusable = ""
        self.front = Front(settings.places.domain)

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM; requests under way are finished.

        Raises:
            StageError: the first model cannot be served.
        """
        settings, stop = self._settings, asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        runner = web.AppRunner(self.front.app, shutdown_timeout=settings.drain_s)
        try:
            try:
                await self._replace(self._find(), stop)
            except StageError:
                if stop.is_set():
                    return
                raise
            await runner.setup()
            try:
                await web.TCPSite(runner, settings.host, settings.port).start()
            except OSError as error:
                taken = f"port {settings.port} of {settings.host} cannot be used: {error.strerror}"
                raise EndpointError(f"{taken}; choose another with --port") from error
            if not stop.is_set():
                self._say(f"ready at http://{settings.host}:{settings.port}/v1")
            while not stop.is_set():
                await self._look(stop)
                try:
                    await asyncio.wait_for(stop.wait(), settings.watch_s)
                except TimeoutError:
                    continue
        finally:
            await runner.cleanup()  # waits for requests under way
            await asyncio.gather(*self._ending, return_exceptions=True)
            if self._running:
                await self._end(self._running)

    def _find(self) -> Target:
        return find_target(self._settings.wanted, self._settings.places)

    async def _look(self, stop: asyncio.Event) -> None:
        """Follow the pointer; start a server again that died. A fault keeps what is served.

        A version that cannot be served is not tried again until the pointer has moved: each try costs memory,
        or the server that runs.
        """
        running, name = self._running, ""
        try:
            if self._settings.wanted == CURRENT:
                version = await asyncio.to_thread(find_version, CURRENT, self._settings.places)
                name = f"{self._settings.places.domain}@{version.number}"
                if name != self._unusable and (running is None or running.target.name != name):
                    self._unusable = ""
                    target = await asyncio.to_thread(version_target, version, self._settings.places)
                    await self._replace(target, stop)
                    return
            if running and running.server.ended:
                self._say(f"the server of {running.target.name} ended; see {running.server.log}")
                await self._replace(running.target, stop)
            self._refused = ""
        except StageError as error:
            if error.exit_code in PERMANENT_EXIT_CODES and running and name != running.target.name:
                self._unusable = name
            if str(error) != self._refused:
                self._refused = str(error)
                self._say(f"error: {error}; still served: {running.target.name if running else 'nothing'}")

    async def _replace(self, target: Target, stop: asyncio.Event) -> None:
        """Serve `target` in place of what is served; if it cannot be, what was served stays or comes back."""
        before = self._running
        self._say(f"starting {target.name} ({target.checkpoint})")
        if before and not self._settings.overlap:
            await self.front.switch(None)
            await self._end(before)
        try:
            fresh = await self._start(target, stop)
        except StageError:
            if before and not self._settings.overlap and not stop.is_set():
                self._running = await self._start(before.target, stop)
                await self.front.switch(self._running.backend)
            raise
        self._running = fresh
        await self.front.switch(fresh.backend)
        self._say(f"serving {target.name}")
        if before and self._settings.overlap:
            ending = asyncio.create_task(self._end(before))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _start(self, target: Target, stop: asyncio.Event) -> Running:
        """A server of `target` that answers and counts as training does."""
        settings = self._settings
        if target.checkpoint is None:
            raise ConfigError(f"{target.name}: is an endpoint already; serve a checkpoint or a version")
        server = Server(settings.engine, {target.name: target.checkpoint}, settings.log, settings.extra)
        try:
            deadline = asyncio.get_running_loop().time() + START_LIMIT_S
            while not await asyncio.to_thread(server.answers):
                if stop.is_set() or asyncio.get_running_loop().time() > deadline:
                    raise EndpointError(f"{target.name}: the server did not come up; see {server.log}")
                await asyncio.sleep(0.2)
            await check_parity(server.url, target.name, target.checkpoint)
        except BaseException:
            server.stop()
            raise
        return Running(target, server, Backend(server.url, target.name))

    async def _end(self, running: Running) -> None:
        """End a server after its last request, or after `drain_s`."""
        if not await self.front.drained(running.backend, self._settings.drain_s):
            late = f"{running.backend.busy} requests to {running.target.name} are cut off"
            self._say(f"{late}: they took more than {self._settings.drain_s:.0f} s")
        await asyncio.to_thread(running.server.stop)
