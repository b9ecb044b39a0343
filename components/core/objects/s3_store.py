"""One bucket of an S3 server as an object store, through the minio client.

`s3_client` says where endpoint and credentials come from and what is asked again; `s3_transfer` moves large objects.
"""

from __future__ import annotations

import io
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.core.objects import s3_transfer
from components.core.objects.s3_client import Bucket, ConflictError, ExistsError
from components.core.objects.store import ObjectInfo
from components.core.stage.errors import NoInputError, StageError

_CONFLICT_TRIES = 8
_PAGE_KEYS = 1000


class S3Store:
    """One bucket of an S3 server. Requests are retried on timeouts, cut connections, 429 and 5xx, with backoff.

    A server that has answered before is given up only after two minutes; likewise keys that were accepted before.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._bucket = Bucket(bucket)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects in the server's order, which S3 defines as the keys' byte order; read page by page.

        A page that fails for good raises; one that fails for a moment is asked for again, from the last key on.
        """
        pages: Any = None
        last: str | None = None

        def following() -> list[Any]:
            nonlocal pages
            if pages is None:
                pages = self._bucket.client.list_objects(
                    self.bucket, prefix=prefix, recursive=True, start_after=last
                )
            try:
                return list(itertools.islice(pages, _PAGE_KEYS))
            except BaseException:
                pages = None  # a generator that has raised would only say that it is at its end
                raise

        while found := self._bucket.ask(prefix, following):
            last = found[-1].object_name
            for item in found:
                if not item.is_dir:
                    yield ObjectInfo(item.object_name, item.size or 0, (item.etag or "").strip('"'))

    def get(self, key: str) -> bytes:
        """An object's content, checked against its length and, where the ETag is one, its MD5."""
        data = s3_transfer.read(self._bucket, key)[1]
        assert data is not None  # there was no limit
        return data

    def exists(self, key: str) -> bool:
        """Whether the server has the object."""
        try:
            self._bucket.ask(
                key, lambda: self._bucket.client.stat_object(bucket_name=self.bucket, object_name=key)
            )
        except NoInputError:
            return False
        return True

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Store an object; `if_absent` is the server's conditional write (`If-None-Match: *`).

        False may also mean that this very write succeeded, its answer was lost and it was sent again: where that
        matters, read the object back.

        Raises:
            ConfigError: the server says that it has no conditional writes.
        """
        if if_absent:
            return self._put_if_absent(key, data)
        self._bucket.ask(
            key,
            lambda: self._bucket.client.put_object(
                bucket_name=self.bucket, object_name=key, data=io.BytesIO(data), length=len(data)
            ),
        )
        return True

    def _put_if_absent(self, key: str, data: bytes) -> bool:
        for _ in range(_CONFLICT_TRIES):
            try:
                self._bucket.ask(key, lambda: self._bucket.client.put_if_absent(self.bucket, key, data))
                return True
            except ExistsError:
                return False
            except ConflictError:
                time.sleep(random.uniform(0, 0.5))
        raise StageError(f"s3://{self.bucket}/{key}: other writers kept the server busy; try again")

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a file; a large one in parts, continuing what a killed process began."""
        s3_transfer.download(self._bucket, key, path)

    def upload(self, path: Path, key: str) -> None:
        """Copy a file to an object; a large one as a multipart upload, continuing what a killed process began."""
        s3_transfer.upload(self._bucket, path, key)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._bucket.ask(
            key, lambda: self._bucket.client.remove_object(bucket_name=self.bucket, object_name=key)
        )

    def discard_unfinished(self, prefix: str) -> None:
        """Abort the multipart uploads of keys that start with `prefix` which nobody completed."""
        s3_transfer.discard_unfinished(self._bucket, prefix)
