"""Lease on a work directory: of several processes that want it, one works there at a time.

The directory's holders are numbered. The highest number holds it, until it says that it has ended. A holder
rewrites its record now and then. One whose record has not changed for `ttl_s` is believed dead, and another
process creates the next number: only one can. Who waits measures by its own clock, so clocks may differ.
A holder on the same machine is asked for directly, so nobody waits for a killed process there.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from json import JSONDecodeError, dumps, loads
from pathlib import Path

from components.core.resume.lease_places import LeasePlace
from components.core.stage.errors import StageError

_BEATS = 6
"""Records rewritten in `ttl_s`."""
_LONGEST_POLL_S = 2.0
_TELL_EVERY_S = 300.0
_held: set[str] = set()
"""Places whose leases this process holds."""


@dataclass(frozen=True)
class Holder:
    """A holder's record."""

    host: str = "unknown"
    """The pod's name on a cluster."""
    pid: int = 0
    since: str = "unknown"
    """UTC."""
    machine: str = ""
    """The kernel's boot and the process ids' namespace: in both alike, process ids mean the same."""
    started: int = 0
    """When the process began, in the kernel's ticks. A later process with this id has another number."""
    beat: int = 0
    ended: bool = False

    def encode(self) -> bytes:
        """As JSON."""
        return dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Holder:
        """From JSON. A record that is being written, or was never finished, is of an unknown holder."""
        try:
            return cls(**loads(data))
        except (JSONDecodeError, TypeError, UnicodeDecodeError):
            return cls()

    def is_known_dead(self) -> bool:
        """Whether this machine knows that the process has ended."""
        return bool(self.pid) and self.machine == _machine() and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}, since {self.since}"


class Lease:
    """The lease that this process wants, or holds.

    Args:
        place: where the records are.
        log: of the stage.
        ttl_s: seconds after which a silent holder is believed dead.
        wait_s: longest wait for a living one.
        at_loss: called when another process took over from this one, which it had believed dead.
    """

    def __init__(
        self, place: LeasePlace, log: logging.Logger, ttl_s: float, wait_s: float, at_loss: Callable[[], None]
    ) -> None:
        self._place, self._log, self._ttl_s, self._wait_s = place, log, ttl_s, wait_s
        self._at_loss = at_loss
        self._number = 0
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pid = os.getpid()
        self._record = Holder(socket.gethostname(), pid, since, _machine(), _started(pid))
        self._ending = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="work-lease", daemon=True)

    def acquire(self) -> None:
        """Hold the directory, as soon as nobody else does.

        Raises:
            StageError: another process still works there after `wait_s`; the message says which.
        """
        mark = f"{self._record.host}-{self._record.pid}-{self._record.started}"
        began = unchanged_since = now = time.monotonic()
        told_at = float("-inf")
        seen = (-1, b"")
        while True:
            number = self._place.highest()
            record = self._place.read(number) if number else b""
            changed, seen = (number, record) != seen, (number, record)
            before, now = now, time.monotonic()
            # A long gap was this process's own, or its store was away, for the holder as well.
            if changed or now - before > self._ttl_s / 2:
                unchanged_since = now
            holder = Holder.decode(record) if number else Holder(ended=True)
            if holder.ended or self._has_died(holder) or now - unchanged_since >= self._ttl_s:
                self._place.withdraw()
                if self._place.create(number + 1, self._record.encode()):
                    self._hold(number + 1, holder)
                    return
                continue
            if now - began >= self._wait_s:
                self._place.withdraw(mark)
                advice = "wait for it to end, or end it"
                raise StageError(f"{self._place}: another process works there ({holder}); {advice}")
            if changed:
                self._place.announce(mark)
            if now - told_at >= _TELL_EVERY_S:
                told_at = now
                shown = {"holder": str(holder), "directory": str(self._place), "waited_s": round(now - began)}
                self._log.info("waiting for another process that does the same work", extra=shown)
            time.sleep(min(self._ttl_s / _BEATS, _LONGEST_POLL_S))

    def _has_died(self, holder: Holder) -> bool:
        """Whether this machine knows it. This process itself may have ended its work without being heard."""
        myself = (holder.machine, holder.pid, holder.started) == (
            self._record.machine, self._record.pid, self._record.started
        )  # fmt: skip
        return holder.is_known_dead() or (myself and str(self._place) not in _held)

    def awaited(self) -> bool:
        """Whether another process waits for this one's result."""
        return self._place.awaited()

    def _hold(self, number: int, before: Holder) -> None:
        self._number = number
        _held.add(str(self._place))
        if not before.ended:
            shown = {"holder": str(before)}
            self._log.info("took the work directory over from a process that has died", extra=shown)
        self._heart.start()

    def release(self) -> None:
        """Say that this process has ended its work. A store that is away is no error: the lease runs out."""
        self._ending.set()
        if self._heart.is_alive():
            self._heart.join()
        if self._number:
            self._write(replace(self._record, ended=True))
            self._number = 0
        _held.discard(str(self._place))

    def _beat(self) -> None:
        while not self._ending.wait(self._ttl_s / _BEATS):
            self._record = replace(self._record, beat=self._record.beat + 1)
            if not self._write(self._record):
                return

    def _write(self, record: Holder) -> bool:
        """Rewrite the record; False if another process has taken over."""
        try:
            if self._place.highest() > self._number:
                self._number = 0
                self._log.error("another process believed this one dead and continues in its work directory")
                self._at_loss()
                return False
            self._place.write(self._number, record.encode())
        except (StageError, OSError) as error:
            self._log.warning("the lease on the work directory could not be renewed: %s", error)
        return True


def _machine() -> str:
    """What two processes have in common whose ids mean the same; "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> int:
    """When a process began; 0 if there is none, or only its exit code."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if state in "ZX" else int(fields[18])
