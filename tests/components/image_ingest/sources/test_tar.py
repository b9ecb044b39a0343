from __future__ import annotations

import io
import os
import tarfile

import pytest

from components.image_ingest.sources.folder import Shards
from components.image_ingest.sources.tar import TarSource


def source(path) -> TarSource:
    return TarSource(Shards(path, ".tar", str(path)), (".json", ".txt"))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_are_read_in_order_and_sidecars_are_not_looked_at(
    tmp_path, make_tar, read_all, format
) -> None:
    long = "d/" + "x" * 90 + ".jpg"
    members = {
        "0001.jpg": b"one",
        "0001.json": b"{}",
        "./0002.png": b"two",
        ".DS_Store": b"-",
        long: b"three",
    }
    path = make_tar(tmp_path / "shard-0.tar", members, format)
    assert read_all(source(path)) == {
        "shard-0.tar/0001.jpg": b"one",
        "shard-0.tar/./0002.png": b"two",
        f"shard-0.tar/{long}": b"three",
    }
    entry = next(source(path).entries())
    assert source(path).uri(entry) == f"{tmp_path}/shard-0.tar/0001.jpg"


def test_a_folder_of_shards(tmp_path, make_tar, read_all) -> None:
    (tmp_path / "b").mkdir()
    make_tar(tmp_path / "b/1.tar", {"x.jpg": b"b1"})
    make_tar(tmp_path / "a.tar", {"x.jpg": b"a"})
    (tmp_path / "notes.md").write_text("not a shard")
    (tmp_path / "c.tar.gz").write_bytes(b"packed")
    read = {"a.tar/x.jpg": b"a", "b/1.tar/x.jpg": b"b1"}
    assert read_all(source(tmp_path)) == {**read, "notes.md": "not_a_shard", "c.tar.gz": "not_a_shard"}
    assert source(tmp_path).uri(next(source(tmp_path).entries())) == f"{tmp_path}/a.tar/x.jpg"


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_path_tricks_links_and_devices_are_refused(tmp_path, make_tar, read_all) -> None:
    tricks = ["../up.jpg", "/etc/abs.jpg", "a/../../b.jpg", "a\\..\\..\\c.jpg", "C:\\d.jpg"]
    path = make_tar(
        tmp_path / "t.tar",
        {
            **dict.fromkeys(tricks, b"x"),
            "link": special("link.jpg", tarfile.SYMTYPE, "/etc/hostname"),
            "hard": special("hard.jpg", tarfile.LNKTYPE, "good.jpg"),
            "device": special("zero.jpg", tarfile.CHRTYPE),
            "pipe": special("pipe.jpg", tarfile.FIFOTYPE),
            "folder": special("folder", tarfile.DIRTYPE),
            "good.jpg": b"good",
        },
    )
    before = sorted(tmp_path.rglob("*"))
    found = read_all(source(path))
    assert {found[f"t.tar/{name.replace(chr(92), chr(92))}"] for name in tricks} == {"unsafe_path"}
    assert {found[f"t.tar/{name}.jpg"] for name in ("link", "hard", "zero", "pipe")} == {"not_a_file"}
    assert found["t.tar/good.jpg"] == b"good"
    assert len(found) == 10
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked


def test_a_member_of_an_absurd_size(tmp_path, read_all) -> None:
    header = tarfile.TarInfo("huge.jpg")
    header.size = 2**50
    (tmp_path / "t.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    found = read_all(source(tmp_path / "t.tar"))
    assert found["t.tar/huge.jpg"] == "truncated"


def test_headers_that_would_fill_the_memory(tmp_path, read_all) -> None:
    """A PAX header of 8 GiB in a sparse file: tarfile would read it whole."""
    header = special("x", tarfile.XHDTYPE)
    header.size = 2**33
    path = tmp_path / "t.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, 2**33 + 2**20)
    assert read_all(source(path)) == {"t.tar": "damaged_archive"}


def test_a_cut_archive_gives_what_is_whole(tmp_path, make_tar, read_all) -> None:
    path = make_tar(tmp_path / "t.tar", {"a.jpg": b"a" * 600, "b.jpg": b"b" * 600, "c.jpg": b"c" * 600})
    whole = path.read_bytes()
    path.write_bytes(whole[: 512 + 1024 + 512 + 300])  # in the middle of b
    found = read_all(source(path))
    assert found["t.tar/a.jpg"] == b"a" * 600
    assert found["t.tar/b.jpg"] == "truncated"
    assert "t.tar/c.jpg" not in found


def test_what_is_no_archive(tmp_path, read_all) -> None:
    (tmp_path / "t.tar").write_bytes(os.urandom(4096))
    assert read_all(source(tmp_path / "t.tar")) == {"t.tar": "damaged_archive"}


def test_the_listing_remembers_no_members(tmp_path, make_tar) -> None:
    path = tmp_path / "t.tar"
    member = tarfile.TarInfo("x.jpg")
    with open(path, "wb") as file:
        file.write(member.tobuf() * 20_000 + bytes(1024))
    assert sum(1 for _ in source(path).entries()) == 20_000
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()[:2048])) as archive:
        assert hasattr(archive, "members")  # what the source clears


def test_archives_that_follow_one_another_in_a_file_are_read_on(tmp_path, make_tar, read_all) -> None:
    parts = [make_tar(tmp_path / f"{n}.part", {f"{n}.jpg": bytes([n]) * 700}) for n in range(3)]
    joined = b"".join(part.read_bytes() for part in parts)
    (tmp_path / "all.tar").write_bytes(joined)
    names = [f"all.tar/{n}.jpg" for n in range(3)]
    assert read_all(source(tmp_path / "all.tar")) == {name: bytes([n]) * 700 for n, name in enumerate(names)}
    (tmp_path / "all.tar").write_bytes(joined + bytes(3 * 512) + b"no archive" * 100)
    assert read_all(source(tmp_path / "all.tar")) == {
        **{name: bytes([n]) * 700 for n, name in enumerate(names)},
        "all.tar": "damaged_archive",
    }
    (tmp_path / "all.tar").write_bytes(parts[0].read_bytes() + bytes(2**21) + parts[1].read_bytes())
    assert list(read_all(source(tmp_path / "all.tar"))) == names[:2]


def test_an_archive_that_cannot_be_opened_is_told(tmp_path, make_tar, read_all) -> None:
    make_tar(tmp_path / "a.tar", {"x.jpg": b"a"})
    shards = source(tmp_path)
    listed = list(shards.shards)
    (tmp_path / "a.tar").unlink()
    assert [e.rejection.reason.value for e in shards._members(listed[0])] == ["damaged_archive"]
