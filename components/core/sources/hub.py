"""Repositories of the hub: what a revision is at the moment, and local copies of them.

huggingface_hub does the work in a process of its own (`hub_client`). It reads its environment once, and the
libraries of a stage are kept offline (`keep_libraries_offline`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from components.core.data.hashing import canonical_json, sha256_hex
from components.core.sources.address import HubAddress
from components.core.sources.cache import CopyPlace
from components.core.stage.container_image import ROOT
from components.core.stage.errors import (
    PERMANENT_EXIT_CODES,
    ConfigError,
    DataError,
    NoInputError,
    StageError,
)
from components.core.stage.log import get_logger
from components.core.stage.secrets import hide
from components.core.training.signals import die_with_parent

_OFFLINE_ENV = "HF_HUB_OFFLINE"
_OWN_ENV = "VLM_LIBRARIES_OFFLINE"
"""Set where `HF_HUB_OFFLINE` is ours and not the user's."""


def keep_libraries_offline() -> None:
    """Let libraries take weights from disk alone. Unset, they ask the hub for news and report use."""
    if _OFFLINE_ENV not in os.environ:
        os.environ |= {_OFFLINE_ENV: "1", _OWN_ENV: "1"}


def pinned(address: HubAddress) -> HubAddress:
    """The address with the commit that its revision is at the moment. A branch that has moved is told of.

    Raises:
        NoInputError: there is no such repository or revision, or offline none in the cache.
        ConfigError: the repository is gated or private, and the token has no access.
        StageError: the hub does not answer.
    """
    if address.pinned:
        return address
    commit, before = _ask("resolve", address)
    if before not in ("", commit):
        get_logger("sources").warning("%s has moved from %s to %s", address, before, commit)
    return HubAddress(address.kind, address.repo, commit, address.path)


def hub_digest(address: HubAddress) -> str:
    """A digest that stands for the content of a pinned address: a commit never changes."""
    return sha256_hex(canonical_json([address.kind, address.repo, address.revision, address.path]))


def fetch_repository(address: HubAddress) -> Path:
    """A local copy of a repository, or of the file or folder in it that the address names.

    Whole files that a killed process had fetched are kept; one that was cut off starts again. Every file is
    checked against its digest.

    Raises:
        NoInputError, ConfigError, StageError: as for `pinned`; also the disk has too little room.
        DataError: a file differs from its digest after it was fetched twice.
    """
    address = pinned(address)
    digest = hub_digest(address)[:16]
    place = CopyPlace(f"{address.kind}s--{address.repo.replace('/', '--')}--{address.revision}--{digest}")
    if path := place.found():
        return path
    with place.alone():
        if place.found() is None:
            get_logger("sources").info("fetching %s", address)
        return place.found() or Path(_ask("fetch", address, place.folder.name)[0])


def _ask(action: str, *values: object) -> list[str]:
    """The client's answer; its errors become those of this process."""
    environment = {name: value for name, value in os.environ.items() if name != _OWN_ENV}
    if _OWN_ENV in os.environ:
        environment.pop(_OFFLINE_ENV, None)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "components.core.sources.hub_client", action, *map(str, values)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False,
        preexec_fn=die_with_parent(),
    )  # fmt: skip
    if done.returncode == 0:
        return list(json.loads(done.stdout.splitlines()[-1]))
    told = hide(done.stderr.strip().rpartition("\n")[2]) or f"the hub's client ended with {done.returncode}"
    kinds = {kind.exit_code: kind for kind in (ConfigError, DataError, NoInputError)}
    if done.returncode in PERMANENT_EXIT_CODES:
        raise kinds.get(done.returncode, ConfigError)(told)
    raise StageError(told)
