from __future__ import annotations

import numpy as np
import pytest

from demo.teachers.embeddings import Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_matches_the_reference_implementation(embedder):
    """First components by transformers' BertModel on the same weights, mean pooling, L2 norm (difference <
    2e-7)."""
    vector = embedder.embed(["The oil light"])[0]
    np.testing.assert_allclose(vector[:4], [-0.06735356, 0.00369347, 0.08389096, 0.10525852], atol=2e-6)


def test_unit_length_and_independent_of_batching(embedder):
    texts = ["red", "a much longer sentence about the fuel gauge of a car", "", "gear"]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_similar_meanings_are_near(embedder):
    fuel, tank, gear = embedder.embed(
        ["How much fuel is left?", "Is the tank full?", "Which gear is selected?"]
    )
    assert fuel @ tank > fuel @ gear
