"""Pytest fixtures of the S3 server, one a test worker; a file imports those that it needs."""

from __future__ import annotations

import atexit
import uuid
from functools import cache
from pathlib import Path

import pytest

from tests.s3.server import S3Server, missing

why_missing = cache(missing)


@cache
def running(root: Path) -> S3Server:
    """The server of this test worker, until it ends."""
    server = S3Server(root)
    atexit.register(server.end)
    server.start()
    return server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> S3Server:
    """A running S3 server with conditional writes."""
    if why := why_missing():
        pytest.skip(why)
    root = tmp_path_factory.getbasetemp() / "s3"
    root.mkdir(exist_ok=True)
    return running(root)


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty bucket; the environment is set so that `components.core.objects.store` reaches it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_server.make_bucket(name)
    return f"s3://{name}"
