"""Roots of registries: a directory, and a bucket of a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.s3.fixtures import s3_bucket, s3_server  # noqa: F401


@pytest.fixture(params=["directory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Root of a registry."""
    if request.param == "directory":
        return str(tmp_path / "registry")
    bucket: str = request.getfixturevalue("s3_bucket")
    return f"{bucket}/models"
