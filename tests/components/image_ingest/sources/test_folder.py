from __future__ import annotations

import os

import pytest

from components.core.stage.errors import NoInputError
from components.image_ingest.sources.folder import FolderSource


def test_lists_recursively_in_order_of_names(tmp_path) -> None:
    for name in (
        "b.jpg",
        "a.jpg",
        "a/z.jpg",
        "a/b/c.png",
        "a-b.png",
        ".hidden",
        ".git/object",
        "a/.DS_Store",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    entries = list(FolderSource(tmp_path).entries())
    names = ["a-b.png", "a.jpg", "a/b/c.png", "a/z.jpg", "b.jpg"]
    assert [entry.name for entry in entries] == names == sorted(names)
    assert [entry.size for entry in entries] == [len(name) for name in names]
    assert list(FolderSource(tmp_path).read(entries)) == [b"x" * len(name) for name in names]


def test_links_out_of_the_folder_are_refused(tmp_path, read_all) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.jpg").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "real.jpg").write_bytes(b"real")
    (root / "inside.jpg").symlink_to(root / "real.jpg")
    (root / "file.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "broken.jpg").symlink_to(root / "nowhere.jpg")
    assert read_all(FolderSource(root)) == {
        "broken.jpg": "unsafe_path",
        "file.jpg": "unsafe_path",
        "folder": "unsafe_path",
        "inside.jpg": b"real",
        "real.jpg": b"real",
    }


def test_names_that_are_no_utf8(tmp_path, read_all) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9\n.jpg", "wb") as file:
        file.write(b"x")
    assert read_all(FolderSource(tmp_path)) == {"caf\\xe9\\n.jpg": b"x"}


def test_a_missing_folder(tmp_path) -> None:
    with pytest.raises(NoInputError, match=r"preflight\.images"):
        list(FolderSource(tmp_path / "nowhere").entries())


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_is_read(tmp_path, read_all, unreadable) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    unreadable(tmp_path / "lost+found")
    (tmp_path / "z.jpg").write_bytes(b"z")
    found = read_all(FolderSource(tmp_path))
    assert found == {"a.jpg": b"a", "lost+found/": "unreadable", "z.jpg": b"z"}


def test_what_is_no_file_is_told(tmp_path, read_all) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert read_all(FolderSource(tmp_path)) == {"pipe.jpg": "not_a_file"}
