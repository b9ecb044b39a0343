"""Large objects in parts: several at once, checked by their MD5, continued where a killed process stopped.

An upload that was cut off is found on the server: parts that are there and have the MD5 of ours are not sent again,
whoever sent them. A download keeps its parts in a hidden file beside the target, with a list of those that are whole.
Both use minio's requests; what minio's own `fput_object` and `fget_object` lack is to go on with what is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from minio.datatypes import ListMultipartUploadsResult, Part, Upload

from components.core.objects.partial_file import partial_file
from components.core.objects.s3_client import Bucket, Passing, UploadGoneError
from components.core.objects.store import at_once, whole_file
from components.core.stage.errors import StageError

PART_BYTES = 16 * 2**20
_MOST_PARTS = 10_000
_TRIES = 3
_PART_BYTES_HEADER = "x-amz-meta-part-bytes"
"""Metadata of what is uploaded here: with it, the ETag of an object in parts can be computed anew."""


def part_bytes(size: int) -> int:
    """Bytes of a part of an object of `size` bytes; S3 takes at most 10,000 parts."""
    return max(PART_BYTES, -(-size // _MOST_PARTS))


def md5(data: bytes) -> str:
    """MD5 in hex: S3's checksum, no secret."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def etag_of_parts(digests: Iterable[str]) -> str:
    """The ETag that S3 gives an object in parts: MD5 over the parts' MD5s, and how many they are."""
    listed = [bytes.fromhex(digest) for digest in digests]
    return f"{md5(b''.join(listed))}-{len(listed)}"


def upload(bucket: Bucket, path: Path, key: str) -> None:
    """Copy a file to an object, in parts if it is larger than one.

    Raises:
        StageError: what arrived is not what was sent.
    """
    size = path.stat().st_size
    if size <= PART_BYTES:
        data = path.read_bytes()
        bucket.ask(
            key,
            lambda: bucket.client.put_object(
                bucket_name=bucket.name, object_name=key, data=io.BytesIO(data), length=len(data)
            ),
        )
        return
    for _ in range(_TRIES):
        try:
            if _upload_parts(bucket, path, key, size):
                return
        except UploadGoneError:  # another process completed the same upload, or discarded it
            continue
    raise StageError(f"{bucket.where(key)}: what arrived is not what was sent; try again")


def _upload_parts(bucket: Bucket, path: Path, key: str, size: int) -> bool:
    """Send what is missing and complete the object; whether it is whole."""
    client, step = bucket.client, part_bytes(size)
    upload_id, there = _unfinished(bucket, key)
    if not upload_id:
        headers: Any = {_PART_BYTES_HEADER: str(step)}
        upload_id = bucket.ask(key, lambda: client._create_multipart_upload(bucket.name, key, headers))

    def send(number: int) -> Part:
        data = _read(path, (number - 1) * step, step)
        old = there.get(number)
        if old is not None and old.size == len(data) and old.etag == md5(data):
            return old
        etag = bucket.ask(key, lambda: client._upload_part(bucket.name, key, data, None, upload_id, number))
        return Part(number, etag)

    parts = at_once(send, range(1, -(-size // step) + 1))
    # Gone: completed by a request whose answer was lost, perhaps. The object tells.
    with contextlib.suppress(UploadGoneError):
        bucket.ask(key, lambda: client._complete_multipart_upload(bucket.name, key, upload_id, parts))
    found = bucket.ask(key, lambda: client.stat_object(bucket_name=bucket.name, object_name=key))
    head = _Head.of(found.metadata)
    return head.size == size and (not head.is_md5 or head.etag == etag_of_parts(part.etag for part in parts))


def _unfinished(bucket: Bucket, key: str) -> tuple[str, dict[int, Part]]:
    """The newest unfinished upload of a key and its parts; "" if there is none."""
    client = bucket.client
    never = datetime.min.replace(tzinfo=UTC)
    same = [upload for upload in _uploads(bucket, key) if upload.object_name == key]
    same.sort(key=lambda upload: upload.initiated_time or never)
    if not same:
        return "", {}
    upload_id = str(same[-1].upload_id)
    parts: dict[int, Part] = {}
    marker: str | None = None
    while True:
        page_after = partial(client._list_parts, bucket.name, key, upload_id, part_number_marker=marker)
        page = bucket.ask(key, page_after)
        parts |= {part.part_number: part for part in page.parts}
        marker = page.next_part_number_marker
        if not page.is_truncated or not marker:
            return upload_id, parts


def _uploads(bucket: Bucket, prefix: str) -> list[Upload]:
    """Unfinished uploads of keys that start with `prefix`, the first 1000.

    minio's own method always sends a delimiter; Swift takes an empty one for one that every key contains.
    """
    asked: Any = {"uploads": "", "prefix": prefix, "max-uploads": "1000", "encoding-type": "url"}
    answer = partial(bucket.client._execute, "GET", bucket.name, query_params=asked)
    return bucket.ask(prefix, lambda: ListMultipartUploadsResult(answer())).uploads


def discard_unfinished(bucket: Bucket, prefix: str) -> None:
    """Abort the unfinished uploads of the keys that start with `prefix`."""
    client = bucket.client
    for each in _uploads(bucket, prefix):
        key = each.object_name
        try:
            bucket.ask(key, partial(client._abort_multipart_upload, bucket.name, key, str(each.upload_id)))
        except UploadGoneError:
            continue


def download(bucket: Bucket, key: str, path: Path) -> None:
    """Copy an object to a file, in parts if it is larger than one; the file appears whole or not at all.

    Raises:
        StageError: the object is replaced or damaged again and again.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            _download(bucket, key, path)
            return
        except _DamagedError as error:
            if attempt == _TRIES:
                raise StageError(str(error)) from error


def read(bucket: Bucket, key: str, limit: int = 0) -> tuple[_Head, bytes | None]:
    """An object's headers and its content, checked; None for the content of one of more than `limit` bytes."""

    def answer() -> tuple[_Head, bytes | None]:
        response = bucket.client.get_object(bucket_name=bucket.name, object_name=key)
        try:
            head = _Head.of(response.headers)
            if limit and head.size > limit:
                return head, None
            return head, _checked(bucket.where(key), response.read(), head)
        finally:
            response.close()
            response.release_conn()

    return bucket.ask(key, answer)


@dataclass(frozen=True)
class _Head:
    """What the server says about an object."""

    size: int
    etag: str
    part_bytes: int
    """Of the parts in which it was uploaded; 0 if unknown."""
    is_md5: bool
    """Whether the ETag is the content's MD5, or that of its parts' MD5s."""

    @classmethod
    def of(cls, headers: Any) -> _Head:
        etag = (headers.get("etag") or "").strip('"').lower()
        # With keys of KMS or of the client, ETags are no MD5s; with S3's own they are.
        encrypted = headers.get("x-amz-server-side-encryption", "").startswith("aws:") or bool(
            headers.get("x-amz-server-side-encryption-customer-algorithm")
        )
        return cls(
            size=int(headers.get("content-length") or -1),
            etag=etag,
            part_bytes=int(headers.get(_PART_BYTES_HEADER) or 0),
            is_md5=len(etag.partition("-")[0]) == 32 and not encrypted,
        )


class _DamagedError(Exception):
    """The parts of a download do not make the object, because it was replaced meanwhile or damaged on the way."""


def _checked(where: str, data: bytes, head: _Head) -> bytes:
    if head.size not in (-1, len(data)):
        raise Passing(f"{where}: got {len(data)} bytes of {head.size}; the connection was cut")
    if head.is_md5 and "-" not in head.etag and md5(data) != head.etag:
        raise Passing(f"{where}: content does not match its checksum; it was damaged on the way")
    return data


def _download(bucket: Bucket, key: str, path: Path) -> None:
    head, data = read(bucket, key, PART_BYTES)
    if data is not None:
        whole_file(path, lambda temporary: temporary.write_bytes(data))
        return
    step = head.part_bytes or PART_BYTES

    def fetch(number: int) -> bytes:
        """One part, of the object that was there at the beginning."""
        start = (number - 1) * step
        length = min(step, head.size - start)
        response = bucket.client.get_object(
            bucket_name=bucket.name, object_name=key, offset=start, length=length
        )
        try:
            part = _Head.of(response.headers)
            if part.etag != head.etag:
                raise _DamagedError(f"{bucket.where(key)}: was replaced while it was read; try again")
            content: bytes = response.read()
        finally:
            response.close()
            response.release_conn()
        if len(content) != length:
            raise Passing(
                f"{bucket.where(key)}: got {len(content)} bytes of {length}; the connection was cut"
            )
        return content

    with partial_file(path, head.etag) as (file, done):
        done.check(lambda number: md5(os.pread(file, step, (number - 1) * step)))

        def keep(number: int) -> None:
            data = bucket.ask(key, lambda: fetch(number))
            os.pwrite(file, data, (number - 1) * step)
            done.add(number, md5(data))

        count = -(-head.size // step)
        at_once(keep, [number for number in range(1, count + 1) if number not in done.digests])
        made = etag_of_parts(done.digests[number] for number in range(1, count + 1))
        if head.is_md5 and head.part_bytes and made != head.etag:
            done.forget()
            raise _DamagedError(f"{bucket.where(key)}: parts do not match its checksum; it is damaged")
        done.publish(path)


def _read(path: Path, offset: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
