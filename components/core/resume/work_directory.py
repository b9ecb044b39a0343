"""Where a stage keeps its progress: a directory, or a directory that is kept in object storage as well.

`VLM_WORK_ROOT` names the place; with `s3://bucket/prefix` the directory itself lies below `VLM_WORK_LOCAL`, and what is
in the bucket is brought there at the start. Every `VLM_WORK_SYNC_S` seconds, at the end and on SIGTERM what changed is
sent. A store that cannot be reached at the start ends the stage; later it is asked again, and the stage goes on.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from components.core.objects.store import is_object_uri
from components.core.resume.mirror import Mirror, TakenOverError
from components.core.resume.work import WorkDir
from components.core.stage.errors import ConfigError, StageError
from components.core.training.launch import LAUNCH_ENV, rank, world_size

WORK_ROOT_ENV = "VLM_WORK_ROOT"
WORK_LOCAL_ENV = "VLM_WORK_LOCAL"
WORK_SYNC_ENV = "VLM_WORK_SYNC_S"
DEFAULT_WORK_ROOT = "build/work"
_DEFAULT_SYNC_S = 30.0
_POLL_S = 0.1


@contextmanager
def work_directory(stage: str, key: str, log: logging.Logger) -> Iterator[WorkDir]:
    """The work directory of a stage with one configuration and one set of inputs, kept where the environment says.

    Args:
        stage: name of the component.
        key: stands for configuration and inputs.
        log: of the stage.

    Raises:
        StageError: the store cannot be reached, or other processes use the directory.
        ConfigError: the environment is wrong, or the store refuses us.
    """
    root = os.environ.get(WORK_ROOT_ENV) or DEFAULT_WORK_ROOT
    if not is_object_uri(root):
        if "://" in root:
            raise ConfigError(f"${WORK_ROOT_ENV} is '{root}'; it must be a directory or s3://bucket/prefix")
        yield WorkDir(Path(root) / stage / key, rank())
        return
    every_s = _sync_s()
    local = Path(os.environ.get(WORK_LOCAL_ENV) or DEFAULT_WORK_ROOT)
    work = WorkDir(local / stage / key, rank())
    mirror = Mirror(work, f"{root.rstrip('/')}/{stage}/{key}", log)
    mirror.restore()
    _wait_for_first(work)
    saver = _Saver(mirror, every_s, log)
    with _saving_at_sigterm(saver):
        saver.start()
        try:
            yield work
        finally:
            saver.finish()


class _Saver(threading.Thread):
    """Sends what changed now and then, beside the stage's own work."""

    def __init__(self, mirror: Mirror, every_s: float, log: logging.Logger) -> None:
        super().__init__(name="work-saver", daemon=True)
        self._mirror, self._every_s, self._log = mirror, every_s, log
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
                os.kill(os.getpid(), number)
            if last or number or not usable:
                return

    def _save(self) -> bool:
        """Whether the store can be used any further."""
        try:
            self._mirror.sync()
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
    """SIGTERM saves, then ends the process; a second one ends it at once. A training loop handles it itself."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        saver.end_with(number)

    if ours:
        signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait_for_first(work: WorkDir) -> None:
    """Ranks share rank 0's directory: it says when it has been restored, the others wait for that."""
    if world_size() == 1:
        return
    mark = work.path / f".restored-{os.environ.get(LAUNCH_ENV, '')}"
    if not work.rank:
        for old in work.path.glob(".restored-*"):
            old.unlink(missing_ok=True)
        mark.touch()
    while not mark.exists():
        time.sleep(_POLL_S)


def _sync_s() -> float:
    text = os.environ.get(WORK_SYNC_ENV) or str(_DEFAULT_SYNC_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ConfigError(f"${WORK_SYNC_ENV} is '{text}'; it must be a number of seconds above 0")
    return seconds
