"""One way from an address to a path on this machine, wherever the address leads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.core.data.pins import fingerprint, local_path, pin, split_pinned_uri
from components.core.objects import is_object_uri
from components.core.sources.address import is_hub_uri, parse_hub_uri
from components.core.sources.bucket import fetch_objects
from components.core.sources.hub import fetch_repository


def is_far(uri: str) -> bool:
    """Whether an address, pinned or not, leads to a bucket or to the hub."""
    return is_object_uri(uri) or is_hub_uri(uri)


def local_copy(reference: str) -> Path:
    """The path of what a reference names, pinned or not; fetched into the cache from a bucket or the hub.

    Raises:
        NoInputError: nothing far is there; whether a local path exists is not looked at.
        DataError: what is there differs from its pin.
        ConfigError: there is no access, too little room, or the scheme is unknown.
        StageError: the bucket or the hub does not answer.
    """
    uri, digest = split_pinned_uri(reference)
    if is_hub_uri(uri):
        return fetch_repository(parse_hub_uri(uri))
    return fetch_objects(uri, digest) if is_object_uri(uri) else local_path(uri)


def has_changed(reference: str, path: Path) -> bool:
    """Whether what a reference names on this machine differs from its pin; a far one's copy cannot."""
    uri, digest = split_pinned_uri(reference)
    return bool(digest) and not is_far(uri) and fingerprint(path) != digest


@dataclass(frozen=True)
class Held:
    """Something from outside, at hand and pinned."""

    path: Path
    reference: str


def hold(uri: str) -> Held:
    """Pin an address and bring what it names to this machine; raises what `pin` and `local_copy` do."""
    reference = pin(uri)
    return Held(local_copy(reference), reference)
