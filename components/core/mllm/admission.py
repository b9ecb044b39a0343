"""Admission of requests to an endpoint: adaptive concurrency, pauses, a token budget, a stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from components.core.stage.errors import BudgetError, StageError

# A server that wants a longer rest gets it from the orchestrator's retry, not from a sleeping process.
MAX_PAUSE_S = 600.0


class Stopped(Exception):
    """The client has stopped (`Admission.stop_reason` says why): this attempt was not started."""


class Admission:
    """Admits attempts one by one.

    Concurrency follows additive increase, multiplicative decrease (Chiu and Jain 1989, as in TCP). It grows
    by one for every window of successes and halves on overload, between 1 and `most`. Attempts that began
    before the last decrease say nothing about the new window, so a burst of refusals halves it once.
    """

    def __init__(self, name: str, most: int, max_tokens_total: int) -> None:
        self.window = float(most)
        self.stop_reason: StageError | None = None
        self._name, self._most, self._budget = name, most, max_tokens_total
        self._spent = self._under_way = 0
        self._resume_at = self._decreased_at = 0.0
        self._changed = asyncio.Event()

    def begin(self) -> None:
        """Start under a new event loop; the window, pause and budget stay."""
        self._under_way = 0
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def attempt(self) -> AsyncIterator[float]:
        """Wait for a free place and the end of a pause; yields the time of the start (monotonic seconds).

        Raises:
            Stopped: nothing may be started any more.
        """
        while self.stop_reason is None:
            pause_s = self._resume_at - time.monotonic()
            if pause_s <= 0 and self._under_way < int(self.window):
                break
            await self._wait(pause_s if pause_s > 0 else None)
        if self.stop_reason is not None:
            raise Stopped
        self._under_way += 1
        try:
            yield time.monotonic()
        finally:
            self._under_way -= 1
            self._signal()

    async def sleep(self, seconds: float) -> None:
        """Sleep; a stop wakes the sleeper."""
        until = time.monotonic() + seconds
        while self.stop_reason is None and (left := until - time.monotonic()) > 0:
            await self._wait(left)

    async def _wait(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def succeeded(self, began: float) -> None:
        """An attempt that began then was answered."""
        if began >= self._decreased_at:
            self.window = min(float(self._most), self.window + 1 / self.window)

    def overloaded(self, began: float) -> bool:
        """An attempt that began then met 429, 503 or a timeout; whether that halved the window."""
        if began < self._decreased_at:
            return False
        self._decreased_at = time.monotonic()
        self.window = max(1.0, self.window / 2)
        return True

    def pause(self, seconds: float) -> None:
        """Start nothing for so long."""
        if seconds > MAX_PAUSE_S:
            rest = f"{self._name}: the endpoint asks to come back in {seconds:.0f} s"
            self.stop(StageError(f"{rest}. Answered requests are kept; run the stage again then."))
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def spend(self, tokens: int) -> None:
        """Count tokens towards the budget; when it is used up, nothing more is started."""
        self._spent += tokens
        if self._budget and self._spent >= self._budget:
            spent = f"{self._name}: {self._spent} tokens are spent, max_tokens_total is {self._budget}"
            advice = "Every answer is kept; raise max_tokens_total and run the stage again to go on."
            self.stop(BudgetError(f"{spent}. {advice}"))

    def stop(self, reason: StageError) -> None:
        """Start nothing more; requests under way may finish. The first reason stays."""
        self.stop_reason = self.stop_reason or reason
        self._signal()
