"""Incremental runs: what earlier runs took is not taken again, and nothing changes sides."""

from __future__ import annotations

import shutil

from PIL import Image

from components.core.data.dataset import Dataset
from components.core.data.pins import pin


def test_only_what_is_new_comes_out(ingest, photographs, encode, photograph) -> None:
    later = ("rocket.jpg", "coffee.png")
    for name in later:
        shutil.move(photographs / name, photographs.parent / name)
    first = ingest(photographs, "first")
    for name in later:
        shutil.move(photographs.parent / name, photographs / name)
    (photographs / "a_smaller_chelsea.jpg").write_bytes(encode(photograph.resize((300, 200)), "JPEG"))
    second = ingest(photographs, "second", catalogue=[str(first.out / "images")])
    assert sorted(row["source_uri"].rpartition("/")[2] for row in second.images) == sorted(later)
    assert set(second.reasons.values()) == {"known"}
    chelsea = next(row for row in first.images if row["source_uri"].endswith("chelsea.png"))
    assert second.rejected["chelsea.png"]["detail"] == f"image_id={chelsea['image_id']}"
    detail = second.rejected["a_smaller_chelsea.jpg"]["detail"]
    assert detail.startswith(f"image_id={chelsea['image_id']} distance=")
    assert {name: second.metrics[name] for name in ("files", "kept", "known", "catalogue")} == {
        "files": 8,
        "kept": 2,
        "known": 6,
        "catalogue": 5,
    }
    provenance = Dataset.open(second.out / "images", "images").manifest["provenance"]
    assert provenance["catalogue"] == [Dataset.open(first.out / "images", "images").digest]


def test_the_union_of_runs_is_the_run_of_the_union(ingest, photographs, encode) -> None:
    """Splits included: growing the corpus in steps gives the images and sides that all at once gives."""
    for number in range(30):
        (photographs / f"zz{number}.jpg").write_bytes(
            encode(Image.effect_noise((64, 64), 20 + number), "JPEG")
        )
    sides = {"heldout_fraction": 0.4, "near_duplicate_bits": None}
    whole = {row["image_id"]: row["split"] for row in ingest(photographs, "whole", **sides).images}
    files = sorted(photographs.iterdir())
    aside = photographs.parent / "aside"
    aside.mkdir()
    for path in files[10:]:
        shutil.move(path, aside)
    found: dict[str, str] = {}
    catalogue: list[str] = []
    for step, end in enumerate((10, 25, len(files))):
        for path in files[10:end]:
            if (aside / path.name).exists():
                shutil.move(aside / path.name, photographs)
        done = ingest(photographs, f"step{step}", catalogue=catalogue, **sides)
        new = {row["image_id"]: row["split"] for row in done.images}
        assert not new.keys() & found.keys()
        found |= new
        catalogue.append(str(done.out / "images"))
    assert found == whole
    assert set(found.values()) == {"train", "heldout"}


def test_nothing_new_is_no_error(ingest, photographs) -> None:
    first = ingest(photographs, "first")
    again = ingest(photographs, "again", catalogue=[pin(str(first.out / "images"))])
    assert again.code == 0
    assert again.images == []
    assert again.metrics["known"] == 7
    assert "7 are in the catalogue" in (again.out / "report.html").read_text()


def test_a_catalogue_that_is_not_what_its_pin_says(ingest, photographs, tmp_path) -> None:
    first = ingest(photographs, "first")
    reference = pin(str(first.out / "images"))
    wrong = reference[:-4] + ("0000" if not reference.endswith("0000") else "1111")
    assert ingest(photographs, "wrong", catalogue=[wrong]).code == 65
    assert ingest(photographs, "missing", catalogue=[str(tmp_path / "nowhere")]).code == 66
