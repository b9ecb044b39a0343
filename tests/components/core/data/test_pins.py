from __future__ import annotations

import os

import pytest

from components.core.data.pins import pin, split_pin
from components.core.stage.errors import ConfigError, NoInputError


def test_a_pin_names_the_place_and_changes_with_the_content_only(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("one")
    first = pin(str(tmp_path / "a"))
    os.utime(tmp_path / "a" / "x.txt", (1, 1))
    assert pin(f"file://{tmp_path / 'a'}") == first
    (tmp_path / "a" / "x.txt").write_text("two")
    assert pin(str(tmp_path / "a")) != first
    path, digest = split_pin(first)
    assert (path, len(digest)) == (tmp_path / "a", 64)


def test_a_renamed_file_changes_the_pin(tmp_path):
    (tmp_path / "x.txt").write_text("one")
    first = pin(str(tmp_path))
    (tmp_path / "x.txt").rename(tmp_path / "y.txt")
    assert pin(str(tmp_path)) != first


def test_what_is_not_there_or_not_local_is_refused(tmp_path):
    with pytest.raises(NoInputError):
        pin(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="gs"):
        pin("gs://bucket/images")
