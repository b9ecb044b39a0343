from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage

from components.ids_scoring.config import Config
from components.ids_scoring.proxy import ProxyScorer, Text, combine, statistics

SKIMAGE = Path(skimage.__file__).parent / "data"


def quarters() -> np.ndarray:
    """Four squares of four colours."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:32, 32:] = (255, 0, 0)
    pixels[32:, :32] = (0, 255, 0)
    pixels[32:, 32:] = (0, 0, 255)
    return pixels


def test_a_flat_picture_holds_nothing() -> None:
    flat = statistics(np.full((64, 64, 3), 128, dtype=np.uint8))
    assert (flat.colour_entropy, flat.edge_density, flat.edge_spread, flat.segments) == (0.0, 0.0, 0.0, 1)


def test_four_equal_colours_are_two_bits_of_nine_and_four_segments() -> None:
    found = statistics(quarters())
    assert found.colour_entropy == pytest.approx(2 / 9)
    assert found.segments == 4


def test_separate_regions_of_one_colour_count_each() -> None:
    pixels = np.zeros((60, 60, 3), dtype=np.uint8)
    pixels[5:15, 5:15] = pixels[40:50, 40:50] = 255
    pixels[30, 30] = 255  # one pixel is no segment
    assert statistics(pixels).segments == 3


def test_noise_has_edges_everywhere() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    found = statistics(noise)
    assert found.edge_density > 0.8
    assert found.edge_spread == pytest.approx(1.0, abs=0.01)


def test_more_text_scores_more_and_never_above_ten() -> None:
    stats = statistics(quarters())
    scores = [
        combine(stats, Text(tuple("word" + str(i) for i in range(n)), n / 1000)).scores
        for n in (0, 1, 10, 999)
    ]
    richness = [score[2] for score in scores]
    assert richness == sorted(richness)
    assert richness[0] == 0
    assert all(0 <= value <= 10 for score in scores for value in score)


PICTURES = [(name, (SKIMAGE / f"{name}.png").read_bytes()) for name in ("page", "moon", "coins", "text")]


def scored(workers: int) -> list:
    return list(ProxyScorer(Config(scorer="proxy", engine={"workers": workers}), None).score(PICTURES))


@pytest.fixture(scope="module")
def one_worker() -> list:
    pytest.importorskip("rapidocr_onnxruntime")
    return scored(1)


def test_reads_a_scanned_page_and_not_a_photograph(one_worker) -> None:
    of = dict(one_worker)
    assert "markers" in of["page"].caption
    assert of["page"].scores[2] > 8
    assert of["moon"].scores[2] < 1
    assert sum(of["page"].scores) > sum(of["moon"].scores)


def test_workers_change_nothing(one_worker, monkeypatch) -> None:
    monkeypatch.setattr("components.ids_scoring.proxy._TASK_IMAGES", 2)
    assert [name for name, _ in one_worker] == [name for name, _ in PICTURES]
    assert scored(2) == one_worker
