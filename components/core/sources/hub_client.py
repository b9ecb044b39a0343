"""The process that talks to the hub.

    python -m components.core.sources.hub_client resolve|fetch ADDRESS [PLACE]

The last line of its output is the answer as JSON, that of its errors the message; exit codes are a stage's.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import disable_progress_bars, filter_repo_objects

from components.core.data.files import atomic_file, file_sha256
from components.core.sources.address import HubAddress, parse_hub_uri
from components.core.sources.cache import CopyPlace, check_room, hub_cache
from components.core.stage.errors import ConfigError, DataError, NoInputError, StageError, file_error

_OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "original/*")
"""Weights in other formats than safetensors: not fetched where those are there."""
_STALE_S = 600
"""A partial file that nobody has written to for so long is of a killed process."""
_ATTEMPTS = 2


class _Incomplete(Exception):
    """The cache has a part of a repository; the message says what is missing."""


def resolve(address: HubAddress) -> list[str]:
    """The commit of a revision, and the one that the cache knows under its name, "" if none; offline that."""
    known = _repository(address) / "refs" / address.revision
    before = known.read_text(encoding="ascii").strip() if known.is_file() else ""
    if constants.is_offline_mode():
        if not before:
            raise LocalEntryNotFoundError(f"no revision {address.revision}")
        return [before, before]
    found = HfApi().repo_info(address.repo, repo_type=address.kind, revision=address.revision)
    # As huggingface_hub keeps it: offline the name leads to the commit. A cache may be read-only.
    with suppress(OSError), atomic_file(known) as temporary:
        temporary.write_text(str(found.sha), encoding="ascii")
    return [str(found.sha), before]


def fetch(address: HubAddress, place: CopyPlace) -> Path:
    """Fetch what is missing, check every file, and make the copy."""
    only = _literal(address.path)
    patterns = [only, f"{only}/*"] if only else None
    wanted: list[str] = []
    if constants.is_offline_mode():
        held = _repository(address) / "snapshots" / address.revision
        ignored = _ignored(address, [path.relative_to(held).as_posix() for path in held.rglob("*")])
    else:
        files = {
            item.path: item
            for item in HfApi().list_repo_tree(
                address.repo, recursive=True, revision=address.revision, repo_type=address.kind
            )
            if isinstance(item, RepoFile)
        }
        ignored = _ignored(address, files)
        wanted = list(filter_repo_objects(files, allow_patterns=patterns, ignore_patterns=ignored))
        if not wanted:
            raise NoInputError(f"{address}: the repository has no such file or folder")
        _remove_stale(address)
        check_room(hub_cache(), sum(_missing_bytes(address, files[name]) for name in wanted), str(address))
    for attempt in range(_ATTEMPTS):
        snapshot = Path(
            snapshot_download(
                address.repo, repo_type=address.kind, revision=address.revision, cache_dir=hub_cache(),
                allow_patterns=patterns, ignore_patterns=ignored,
            )
        )  # fmt: skip
        names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
        names = list(filter_repo_objects(sorted(names), allow_patterns=patterns, ignore_patterns=ignored))
        # Where the hub falls silent, huggingface_hub may give what a killed process has left.
        if missing := sorted(set(wanted or _shards(snapshot, names)) - set(names)):
            raise _Incomplete(f"{len(missing)} files are missing, the first is {missing[0]}")
        damaged = [name for name in names if not _as_named(snapshot / name)]
        if not damaged:
            break
        for name in damaged:
            (snapshot / name).resolve().unlink()
            (snapshot / name).unlink()
        if constants.is_offline_mode() or attempt + 1 == _ATTEMPTS:
            told = f"{len(damaged)} files differ from their digest, the first is {damaged[0]}"
            raise DataError(f"{address}: {told}; they are removed from the cache")
    if not names:
        raise NoInputError(f"{address}: the cache has no such file or folder; fetch it online once")
    sizes = _link(snapshot, names, place)
    return place.publish(sizes, address.path if address.path in names else "")


def _repository(address: HubAddress) -> Path:
    return hub_cache() / f"{address.kind}s--{address.repo.replace('/', '--')}"


def _ignored(address: HubAddress, names: Iterable[str]) -> list[str] | None:
    """Patterns of files that are not wanted: weights in other formats below a folder with safetensors.

    Folders above the address do not count: it may name one that has the other formats alone.
    """
    if address.kind != "model":
        return None
    named = [name for name in names if not address.path or name.startswith(f"{address.path}/")]
    safe = {posixpath.dirname(name) for name in named if name.endswith(".safetensors")}
    return [posixpath.join(_literal(folder), kind) for folder in safe for kind in _OTHER_WEIGHTS] or None


def _literal(name: str) -> str:
    """A pattern that matches this name alone."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _shards(snapshot: Path, names: Sequence[str]) -> set[str]:
    """Files of weights that the indices among `names` name: offline nothing else tells what is missing."""
    found = set()
    for name in names:
        if name.endswith(".safetensors.index.json"):
            weights = json.loads((snapshot / name).read_text(encoding="utf-8")).get("weight_map", {})
            found |= {posixpath.join(posixpath.dirname(name), file) for file in weights.values()}
    return found


def _remove_stale(address: HubAddress) -> None:
    """Remove the partial files of killed processes: huggingface_hub never goes on with them."""
    for left in (_repository(address) / "blobs").glob("*.incomplete"):
        if time.time() - left.stat().st_mtime > _STALE_S:
            left.unlink(missing_ok=True)


def _missing_bytes(address: HubAddress, file: RepoFile) -> int:
    blob = file.lfs.sha256 if file.lfs else file.blob_id
    return 0 if (_repository(address) / "blobs" / str(blob)).is_file() else int(file.size)


def _as_named(file: Path) -> bool:
    """Whether a file has the digest that its blob is named after: SHA-256, or Git's SHA-1 of small files."""
    name = file.resolve().name
    if len(name) == 64:
        return file_sha256(file) == name
    if len(name) == 40 and file.is_symlink():
        data = file.read_bytes()
        head = f"blob {len(data)}\0".encode()
        return hashlib.sha1(head + data, usedforsecurity=False).hexdigest() == name
    return True


def _link(snapshot: Path, names: Sequence[str], place: CopyPlace) -> dict[str, int]:
    """Hard links to the cache's files, which take no room; copies where the file system has none."""
    shutil.rmtree(place.part, ignore_errors=True)
    sizes = {}
    for name in names:
        file, target = (snapshot / name).resolve(), place.part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        sizes[name] = file.stat().st_size
        try:
            os.link(file, target)
        except OSError:
            check_room(place.folder, sizes[name], name)
            shutil.copyfile(file, target)
    return sizes


def explained(error: Exception, address: HubAddress) -> StageError:
    """What an error of the hub means, and what to do."""
    page = f"{constants.ENDPOINT}/{'datasets/' if address.kind == 'dataset' else ''}{address.repo}"
    key = "on Kubeflow resources.default.secret_env.HF_TOKEN"
    if isinstance(error, StageError):
        return error
    if isinstance(error, GatedRepoError):
        told = f"is gated: accept its terms at {page}, and give a token of that account in HF_TOKEN ({key})"
        return ConfigError(f"{address}: {told}")
    if isinstance(error, RepositoryNotFoundError):
        told = f"no such {address.kind} at {page}, or it is private; check the name, or set HF_TOKEN ({key})"
        return NoInputError(f"{address}: {told}")
    if isinstance(error, RevisionNotFoundError):
        return NoInputError(f"{address}: the repository has no revision '{address.revision}'; check {page}")
    missing = (_Incomplete, LocalEntryNotFoundError, OfflineModeIsEnabled)
    if isinstance(error, missing) and constants.is_offline_mode():
        told = f"is not whole in {hub_cache()}, and HF_HUB_OFFLINE is set; fetch it online once"
        return NoInputError(f"{address}: {told}")
    if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        return ConfigError(f"{address}: {constants.ENDPOINT} refuses the token; check HF_TOKEN ({key})")
    if (
        isinstance(error, OSError)
        and not isinstance(error, (HfHubHTTPError, ConnectionError))
        and error.errno
    ):
        return file_error(error)
    return StageError(f"{address}: {constants.ENDPOINT} did not answer ({' '.join(str(error).split())})")


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; returns the exit code."""
    disable_progress_bars()
    action, address = argv[0], parse_hub_uri(argv[1])
    try:
        answer = resolve(address) if action == "resolve" else [str(fetch(address, CopyPlace(argv[2])))]
    except (StageError, _Incomplete, OSError, httpx.HTTPError) as error:
        known = explained(error, address)
        print(f"\n{known}", file=sys.stderr)
        return known.exit_code
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
