"""Pictures of training samples: found by path, decoded from `data:` URIs, measured from their headers."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from components.core import pictures
from components.core.conversations.base import BadRecord, Ids
from components.core.stage.errors import DataError

Size = tuple[int, int]
"""(height, width) in px."""
_BELOW = ("", "images")


def header_size(picture: bytes | Path) -> Size:
    """Size of an encoded picture; its header is read, its pixels are not decoded.

    Raises:
        BadRecord: it is no picture.
    """
    try:
        width, height = pictures.header_size(picture)
    except (OSError, ValueError) as error:
        named = f"{picture}: " if isinstance(picture, Path) else ""
        fault = f"{named}not a picture ({error}); replace it or remove the record"
        raise BadRecord("image_unreadable", fault) from error
    return height, width


def data_bytes(uri: str) -> bytes:
    """The bytes of a base64 `data:` URI.

    Raises:
        BadRecord: it is no such URI.
    """
    head, comma, body = uri.partition(",")
    try:
        if not comma or not head.endswith(";base64"):
            raise ValueError("no base64 data: URI")
        return base64.b64decode("".join(unquote(body).split()), validate=True)  # lines may be wrapped
    except ValueError as error:
        fault = f"the picture {uri[:40]!r}… cannot be read ({error}); write it anew"
        raise BadRecord("image_unreadable", fault) from error


class Store(Ids, Protocol):
    """Pictures by id."""

    def size(self, image_id: str, /) -> Size:
        """Size of one picture, from its header."""
        ...


class Sizes:
    """Sizes by image id: from a table's columns, else from the picture's header when asked."""

    def __init__(self, columns: Mapping[str, Size], stores: Sequence[Store]) -> None:
        self._columns, self._stores = columns, stores

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._columns or any(image_id in store for store in self._stores)

    def __getitem__(self, image_id: str) -> Size:
        if image_id in self._columns:
            return self._columns[image_id]
        return next(store for store in self._stores if image_id in store).size(image_id)


class FolderPictures:
    """Pictures named by paths, all below one folder, which the pinned reference covers.

    A path may start at the folder of the file that names it, at the root, or at `images/` in either.
    """

    PREFIX = "path:"

    def __init__(self, root: Path | None) -> None:
        self._root = os.path.realpath(root) if root else ""

    def find(self, name: str, folder: str) -> str:
        """Id of the picture that a record names.

        Args:
            name: as the record writes it, a path or a `file:` URL.
            folder: of the file that holds the record.

        Raises:
            BadRecord: it is missing, or lies outside the root.
        """
        if not self._root:
            raise BadRecord(
                "image_missing",
                f"the picture {name!r} is given by path, but the general data is one file; name the folder "
                "that holds both, so that a change of the pictures is seen",
            )
        path = unquote(urlsplit(name).path) if name.startswith("file:") else name
        for start in dict.fromkeys((folder, self._root)):
            for below in _BELOW:
                candidate = os.path.join(start, below, path)
                if os.path.isfile(candidate):
                    real = os.path.realpath(candidate)
                    if real.startswith(self._root + os.sep):
                        return self.PREFIX + real[len(self._root) + 1 :]
        raise BadRecord(
            "image_missing",
            f"no picture {name!r} in {self._root}, its folder images/ or beside the file (links that lead "
            "out of it are not followed); put it there or correct the path",
        )

    def __contains__(self, image_id: str) -> bool:
        return bool(self._root) and image_id.startswith(self.PREFIX) and self._path(image_id).is_file()

    def get(self, image_id: str) -> bytes:
        """Encoded bytes of one picture."""
        try:
            return self._path(image_id).read_bytes()
        except OSError as error:
            raise DataError(f"{self._path(image_id)}: cannot be read ({error.strerror})") from error

    def size(self, image_id: str) -> Size:
        """Size of one picture, from its header."""
        return header_size(self._path(image_id))

    def _path(self, image_id: str) -> Path:
        return Path(self._root, image_id.removeprefix(self.PREFIX))
