"""Where a stage keeps its progress (`VLM_WORK_ROOT`): a local directory, saved to object storage if wanted.

One process at a time works in a directory (`lease`). Another one waits for it, `VLM_WORK_WAIT_S` seconds if
that is set. A holder that is silent for `VLM_WORK_LEASE_S` seconds has died.

With `VLM_WORK_ROOT=s3://bucket/prefix` the directory itself lies below `VLM_WORK_LOCAL`. At the start the
bucket's snapshot is brought there. Every `VLM_WORK_SYNC_S` seconds, at the end and on SIGTERM, the changes
are sent. A store that does not answer at the start ends the stage. Later the stage goes on, and the store is
asked again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from components.core.objects import is_object_uri
from components.core.resume.lease import Lease
from components.core.resume.lease_places import BucketPlace, FolderPlace, LeasePlace
from components.core.resume.snapshot_store import SnapshotStore, TakenOverError
from components.core.resume.work_dir import WorkDir
from components.core.stage.errors import ConfigError, StageError
from components.core.training.launch import launch_id, rank, wait_for, world_size

WORK_ROOT_ENV = "VLM_WORK_ROOT"
WORK_LOCAL_ENV = "VLM_WORK_LOCAL"
WORK_SYNC_ENV = "VLM_WORK_SYNC_S"
LEASE_ENV = "VLM_WORK_LEASE_S"
WAIT_ENV = "VLM_WORK_WAIT_S"
DEFAULT_WORK_ROOT = "build/work"
_DEFAULT_SYNC_S = 30.0
_DEFAULT_LEASE_S = 90.0
"""More than the minute for which a client of NFS may keep what it knows of a file."""


@contextmanager
def work_directory(stage: str, key: str, log: logging.Logger) -> Iterator[WorkDir]:
    """The work directory of a stage, below the root that the environment names.

    Args:
        stage: name of the component.
        key: hash of its configuration and inputs.
        log: of the stage.

    Raises:
        StageError: the store does not answer, or another process still works in the directory.
        ConfigError: a variable of the environment is wrong, or the store refuses the credentials.
    """
    root = os.environ.get(WORK_ROOT_ENV) or DEFAULT_WORK_ROOT
    if not is_object_uri(root):
        if "://" in root:
            raise ConfigError(f"${WORK_ROOT_ENV} is '{root}'; it must be a directory or s3://bucket/prefix")
        path = Path(root) / stage / key
        work = WorkDir(path, rank())
        with _held(work, FolderPlace(path / ".lease"), log, _end_at_once):
            _wait_for_first(work)
            yield work
        return
    every_s = _seconds(WORK_SYNC_ENV, _DEFAULT_SYNC_S)
    local = Path(os.environ.get(WORK_LOCAL_ENV) or DEFAULT_WORK_ROOT)
    work = WorkDir(local / stage / key, rank())
    uri = f"{root.rstrip('/')}/{stage}/{key}"
    with _held(work, BucketPlace(f"{uri}/lease"), log, lambda: None) as release:
        snapshots = SnapshotStore(work, uri, log)
        snapshots.restore()
        _wait_for_first(work)
        saver = _Saver(snapshots, every_s, log, release)
        with _saving_at_sigterm(saver):
            saver.start()
            try:
                yield work
            finally:
                saver.finish()


@contextmanager
def _held(
    work: WorkDir, place: LeasePlace, log: logging.Logger, at_loss: Callable[[], None]
) -> Iterator[Callable[[], None]]:
    """The first process of a stage holds the directory for all; yields what gives the lease back early."""
    ttl_s, wait_s = _seconds(LEASE_ENV, _DEFAULT_LEASE_S), _seconds(WAIT_ENV, float("inf"), may_be_0=True)
    lease = Lease(place, log, ttl_s, wait_s, at_loss)
    work.awaited = lease.awaited
    if work.rank:
        yield lease.release
        return
    lease.acquire()
    try:
        yield lease.release
    finally:
        lease.release()


def _end_at_once() -> None:
    """End the process without writing anything more: the directory is another's."""
    os._exit(StageError.exit_code)


class _Saver(threading.Thread):
    """Saves the directory at intervals, beside the stage's own work."""

    def __init__(
        self, snapshots: SnapshotStore, every_s: float, log: logging.Logger, release: Callable[[], None]
    ) -> None:
        super().__init__(name="work-saver", daemon=True)
        self._release = release
        self._snapshots, self._every_s, self._log = snapshots, every_s, log
        self._wake = threading.Event()
        self._last = False
        self._signal = 0

    def run(self) -> None:
        """Until told to end, or until another process owns the directory."""
        while True:
            self._wake.wait(self._every_s)
            self._wake.clear()
            last, number = self._last, self._signal
            usable = self._save()
            if number:
                self._release()
                os.kill(os.getpid(), number)
            if last or number or not usable:
                return

    def _save(self) -> bool:
        """Save once; False if another process has taken the directory over."""
        try:
            self._snapshots.sync()
        except TakenOverError:
            self._log.warning("another process continues in this work directory: nothing more is saved there")
            return False
        except StageError as error:
            self._log.warning("the work directory could not be saved, the next attempt may: %s", error)
        except Exception:  # noqa: BLE001 - the thread's boundary: a stage does not end because of this
            self._log.warning("the work directory could not be saved\n%s", traceback.format_exc())
        return True

    def finish(self) -> None:
        """Send the rest and end."""
        self._last = True
        self._wake.set()
        self.join()

    def end_with(self, number: int) -> None:
        """Send the rest, then end the process by this signal."""
        self._signal = number
        self._wake.set()
        if not self.is_alive():
            os.kill(os.getpid(), number)


@contextmanager
def _saving_at_sigterm(saver: _Saver) -> Iterator[None]:
    """SIGTERM saves, then ends the process; a second one ends it at once. A handler set by others stays."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        saver.end_with(number)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait_for_first(work: WorkDir) -> None:
    """Ranks share rank 0's directory: the others wait until rank 0 has restored it."""
    if world_size() == 1:
        return
    mark = work.path / f".restored-{launch_id()}"
    if not work.rank:
        for old in work.path.glob(".restored-*"):
            old.unlink(missing_ok=True)
        mark.touch()
    wait_for(mark)


def _seconds(variable: str, default: float, may_be_0: bool = False) -> float:
    text = os.environ.get(variable) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds > 0 or (may_be_0 and seconds == 0):
        return seconds
    raise ConfigError(
        f"${variable} is '{text}'; it must be a number of seconds {'from' if may_be_0 else 'above'} 0"
    )
