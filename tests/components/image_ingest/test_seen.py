"""A run that starts from a promoted model: new pictures, and a sample of those that the model has seen."""

from __future__ import annotations

import pytest

from components.core.data.dataset import Dataset
from components.core.data.pins import pin
from components.core.stage.errors import DataError
from components.image_ingest.draws import Seen, read_seen


def image_ids(ingested) -> set[str]:
    return {
        row["image_id"] for row in Dataset.open(ingested.out / "images", "images").rows_iter(["image_id"])
    }


@pytest.fixture
def known(ingest, photographs, tmp_path):
    """A list of all but two of the photographs, pinned, and the ids of those two."""
    ids = sorted(image_ids(ingest(photographs, out="first")))
    path = tmp_path / "seen_images.txt"
    path.write_text("".join(f"{image_id}\n" for image_id in ids[2:]))
    return pin(str(path)), set(ids[:2])


def test_seen_pictures_are_left_out_and_accounted_for(ingest, photographs, known):
    reference, new = known
    again = ingest(photographs, out="again", seen=reference, replay_share=0.0)
    assert image_ids(again) == new
    assert again.metrics["new"] == 2 and again.metrics["replayed"] == 0
    assert again.metrics["known"] == again.metrics["rejected_known"] == 5
    assert (again.out / "enough").read_text() == "true"


def test_all_of_them_come_again_where_that_is_asked_for(ingest, photographs, known):
    again = ingest(photographs, out="again", seen=known[0], replay_share=1.0)
    assert len(image_ids(again)) == 7
    assert again.metrics["new"] == 2 and again.metrics["replayed"] == 5


def test_too_little_new_ends_the_run_as_a_success_that_says_so(ingest, photographs, known):
    again = ingest(photographs, out="again", seen=known[0], replay_share=1.0, min_new_images=3)
    assert again.code == 0 and (again.out / "enough").read_text() == "false"
    assert "2 new pictures are fewer than min_new_images (3)" in (again.out / "report.html").read_text()


def test_a_replay_sample_has_its_share_and_stays_the_same():
    seen = Seen(frozenset(), 0.3)
    drawn = [seen.replays(f"{number:064x}") for number in range(4000)]
    assert abs(sum(drawn) / 4000 - 0.3) < 0.03
    assert drawn == [Seen(frozenset(), 0.3).replays(f"{number:064x}") for number in range(4000)]
    more = [Seen(frozenset(), 0.5).replays(f"{number:064x}") for number in range(4000)]
    assert all(later for earlier, later in zip(drawn, more, strict=True) if earlier)


def test_a_list_that_changed_since_it_was_pinned_is_refused(known, tmp_path):
    (tmp_path / "seen_images.txt").write_text("other\n")
    with pytest.raises(DataError, match="changed"):
        read_seen(known[0], 0.1)
