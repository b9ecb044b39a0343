from __future__ import annotations

import pytest

from components.core.errors import NoInputError
from components.image_ingest.folder import list_files


def test_lists_recursively_in_order_of_names(tmp_path) -> None:
    for name in ("b.jpg", "a/z.jpg", "a/b/c.png", ".hidden", ".git/object", "a/.DS_Store"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    files, links = list_files(tmp_path)
    assert [file.name for file in files] == ["a/b/c.png", "a/z.jpg", "b.jpg"]
    assert [file.size for file in files] == [9, 7, 5]
    assert links == []


def test_links_out_of_the_folder_are_refused(tmp_path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.jpg").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "real.jpg").write_bytes(b"x")
    (root / "inside.jpg").symlink_to(root / "real.jpg")
    (root / "file.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "broken.jpg").symlink_to(root / "nowhere.jpg")
    files, links = list_files(root)
    assert [file.name for file in files] == ["inside.jpg", "real.jpg"]
    assert links == ["broken.jpg", "file.jpg", "folder"]


def test_a_missing_folder(tmp_path) -> None:
    with pytest.raises(NoInputError, match=r"preflight\.images"):
        list_files(tmp_path / "nowhere")
