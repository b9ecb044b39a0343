"""Addresses of models and data outside the pipeline: a path, `s3://bucket/prefix`, or a name of the hub.

A name of the hub is `owner/name@revision`, with `/path` behind it for a part of the repository. Settings
turn it into the hub's own form, which says what it is: `hf://owner/name@revision` is a model,
`hf://datasets/owner/name@revision` a dataset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

Kind = Literal["model", "dataset"]
SCHEME = "hf://"
_DATASETS = "datasets/"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(
    rf"(?P<repo>{_PART}/{_PART})(@(?P<revision>refs/(pr|convert)/{_PART}|[A-Za-z0-9._-]+)(/(?P<path>.+))?)?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """A repository of the hub at a revision, or a file or folder in it."""

    kind: Kind
    repo: str
    """`owner/name`."""
    revision: str = "main"
    """A commit, branch or tag."""
    path: str = ""
    """A file or folder in the repository; empty is all of it."""

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which never moves."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        datasets = _DATASETS if self.kind == "dataset" else ""
        path = f"/{self.path}" if self.path else ""
        return f"{SCHEME}{datasets}{self.repo}@{self.revision}{path}"


def is_hub_uri(uri: str) -> bool:
    """Whether a URI names a repository of the hub."""
    return uri.startswith(SCHEME)


def is_hub_name(text: str) -> bool:
    """Whether a text without a scheme is `owner/name@revision`, maybe with a path behind it."""
    found = _NAME.fullmatch(text)
    return found is not None and found["revision"] is not None


def parse_hub_uri(uri: str) -> HubAddress:
    """The repository that `hf://...` names.

    Raises:
        ValueError: it is not of this form, or its path leaves the repository.
    """
    rest = uri.removeprefix(SCHEME)
    kind: Kind = "dataset" if rest.startswith(_DATASETS) else "model"
    found = _NAME.fullmatch(rest.removeprefix(_DATASETS) if kind == "dataset" else rest)
    path = (found["path"] or "").rstrip("/") if found else ""
    if found is None or any(part in ("", ".", "..") for part in path.split("/")[: None if path else 0]):
        wanted = "write hf://owner/name@revision, or hf://datasets/owner/name@revision for data"
        raise ValueError(f"{uri}: names no repository of the hub; {wanted}")
    return HubAddress(kind, found["repo"], found["revision"] or "main", path)


def _source(text: str, kind: Kind) -> str:
    """The address in its full form; a repository of the other kind is refused."""
    bare, mark, digest = text.partition("#sha256=")
    if is_hub_name(bare):
        datasets = _DATASETS if kind == "dataset" else ""
        bare = f"{SCHEME}{datasets}{bare}"
    if not is_hub_uri(bare):
        return text
    address = parse_hub_uri(bare)
    if address.kind != kind:
        raise ValueError(f"{bare}: is a {address.kind} of the hub, and this setting takes a {kind}")
    return f"{address}{mark}{digest}"


def model_source(text: str) -> str:
    """A model's address in its full form; `owner/name@revision` becomes `hf://owner/name@revision`."""
    return _source(text, "model")


def data_source(text: str) -> str:
    """Data's address in its full form; `owner/name@revision` becomes `hf://datasets/owner/name@revision`."""
    return _source(text, "dataset")


ModelSource = Annotated[str, AfterValidator(model_source)]
"""Type of a setting that names a model: a path, `s3://bucket/prefix` or a name of the hub."""
DataSource = Annotated[str, AfterValidator(data_source)]
"""Type of a setting that names data: a path, `s3://bucket/prefix` or a name of the hub."""
