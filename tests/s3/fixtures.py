"""Pytest fixtures of the S3 server; a test file or conftest imports those that it needs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.s3.server import S3Server, missing, swift


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3 server with conditional writes."""
    why = missing()
    if why:
        pytest.skip(why)
    with swift(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty bucket; the environment is set so that `components.core.objects.store` reaches it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_server.make_bucket(name)
    return f"s3://{name}"
