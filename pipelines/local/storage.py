"""A local run that outlives its machine (`--storage`): its directory is saved to a bucket after every task.

    <storage>/run/...                   snapshots of the run's directory: artifacts, cache, logs, report
    <storage>/work/<stage>/<key>/...    snapshots of the stages' work directories, sent by the stages

`components.core.resume.snapshot_store` defines the format. kfp.local's cache knows artifacts by their
absolute paths: another machine finds the finished tasks if the run's directory has the same path there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from components.core.objects import is_object_uri
from components.core.resume.snapshot_store import SnapshotStore, TakenOverError
from components.core.resume.work_dir import WorkDir, mark_cache
from components.core.stage.errors import ConfigError, StageError

WORK = "work"
"""Sub-directory of a run, and prefix below its storage, that holds the stages' work directories."""


class StoredRun:
    """The run's directory `root` and its snapshots below `uri`; `say` shows a warning to the user.

    Raises:
        ConfigError: the URI names no bucket, or the directory holds files of another run.
        StageError: the store does not answer.
    """

    def __init__(self, root: Path, uri: str, say: Callable[[str], None]) -> None:
        if not is_object_uri(uri):
            raise ConfigError(f"--storage {uri}: must be s3://bucket/prefix")
        self._uri, self._say = uri.rstrip("/"), say
        mark_cache(root / WORK)  # has snapshots of its own
        log = logging.getLogger("storage")
        self._snapshots = SnapshotStore(WorkDir(root), f"{self._uri}/run", log, replace=False)
        self._snapshots.restore()

    def save(self, last: bool = False) -> None:
        """Send the changes. A store that does not answer is asked again after the next task.

        Raises:
            StageError: another run goes on in the same place, or the store does not answer and this is the
                `last` call.
        """
        try:
            self._snapshots.sync()
        except TakenOverError as error:
            raise StageError(f"{self._uri}: another run goes on there; this one ends") from error
        except StageError as error:
            if last:
                raise
            self._say(f"warning: not saved, will be after the next task: {error}")


def work_environment(root: Path, storage: str) -> dict[str, str]:
    """Variables that tell the stages of a run below `root` where their work directories are."""
    local = str(root / WORK)
    if not storage:
        return {"VLM_WORK_ROOT": local}
    return {"VLM_WORK_ROOT": f"{storage.rstrip('/')}/{WORK}", "VLM_WORK_LOCAL": local}
