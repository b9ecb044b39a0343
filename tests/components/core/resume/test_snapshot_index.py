"""What of a work directory is sent: blocks of journals, and which checkpoints stay."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.resume import snapshot_index
from components.core.resume.snapshot_index import (
    Index,
    Piece,
    checkpoint_of,
    journal_blocks,
    listed_files,
    newest_first,
    surviving,
)
from components.core.stage.errors import DataError


@given(st.lists(st.integers(0, 40), max_size=12))
def test_a_journal_sent_as_it_grows_is_what_its_blocks_make(growth: list[int]) -> None:
    """Blocks of 16 bytes; after each growth only what is new, or stands in the last block, is read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_index, "BLOCK_BYTES", 16)
        content, pieces, stored = b"", (), {}
        for number, more in enumerate(growth):
            before = len(content)
            content += bytes([number]) * more
            kept, blocks = journal_blocks(len(content), pieces)
            assert sum(length for _, length in blocks) <= len(content) - before + 15
            for offset, length in blocks:
                data = content[offset : offset + length]
                stored[hashlib.sha256(data).hexdigest()] = data
                kept += (Piece(hashlib.sha256(data).hexdigest(), length),)
            pieces = kept
            assert b"".join(stored[piece.sha256] for piece in pieces) == content


def test_an_index_is_what_it_was_made_of() -> None:
    files = {"a/é": (Piece("ab", 3), Piece("cd", 0)), "empty.jsonl": ()}
    index = Index("me", (1, 5), files)
    assert Index.decode(index.encode(), "s3://b/k") == index
    assert index.encode() != Index("you", (1, 5), files).encode()
    rest = b'"writer": "me", "claims": []'
    for damaged in (b"", b"{}", b"[]", b'{%s, "files": {"a": [["x"]]}}' % rest, b'{%s, "files": []}' % rest):
        with pytest.raises(DataError, match="s3://b/k: not an index"):
            Index.decode(damaged, "s3://b/k")


def test_a_checkpoint_is_a_directory_below_one_of_checkpoints() -> None:
    names = ("checkpoints/checkpoint-4/a/b", "checkpoints/note", "scan/x/y", "j.jsonl")
    assert [checkpoint_of(name, ["checkpoints"]) for name in names] == [
        "checkpoints/checkpoint-4",
        "",
        "",
        "",
    ]


def test_newest_is_by_number() -> None:
    assert newest_first(["c-9", "c-100", "c-20"]) == ["c-100", "c-20", "c-9"]


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_the_last_stored_checkpoint_goes_only_when_a_newer_one_has_come(stored: set, local: set) -> None:
    kept = surviving({f"c-{n}" for n in stored}, {f"c-{n}" for n in local})
    assert kept <= {f"c-{n}" for n in stored}
    assert kept or not stored or not local
    if stored & local:
        assert kept == {f"c-{n}" for n in stored & local}
    elif stored and local:
        assert kept == {f"c-{max(stored)}"}


def test_markers_list_files_with_their_bytes() -> None:
    assert listed_files(b'{"files": {"a": 1}}') == {"a": 1}
    assert listed_files(b'{"files": [{"name": "a", "bytes": 1, "sha256": "x"}]}') == {"a": 1}
    for other in (b"", b"{}", b'{"files": 3}', b'{"files": ["a"]}'):
        with pytest.raises(ValueError, match="."):
            listed_files(other)
