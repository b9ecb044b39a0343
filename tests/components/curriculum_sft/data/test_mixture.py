"""Shares of tokens and of sets, and the ratio of text to vision tokens, in whole samples."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.core.stage.errors import ConfigError, DataError
from components.curriculum_sft.config import Config, Mixture
from components.curriculum_sft.data.mixture import capped, mix, token_ratio
from components.curriculum_sft.data.samples import sample


def _rows(name: str, tokens: list[tuple[int, int]]) -> list[dict]:
    """Samples of (text tokens, vision tokens); the name is the source, or source/set."""
    source, _, own_set = name.partition("/")
    return [
        sample(f"{name}-{i}", [("q", "a")], "img", source)
        | {"length": text + vision, "vision_tokens": vision, "set": own_set}
        for i, (text, vision) in enumerate(tokens)
    ]


TOKENS = st.tuples(st.integers(1, 400), st.integers(0, 400))
SAMPLES = st.lists(TOKENS, min_size=1, max_size=40)


def _drawn(mixed: list[dict], source: str) -> int:
    return sum(row["length"] for row in mixed if row["sample_id"].startswith(f"{source}-"))


@given(SAMPLES, SAMPLES, SAMPLES, st.floats(0.05, 0.95), st.floats(0.1, 10), st.integers(0, 3))
def test_token_shares_are_met_within_one_sample(domain, first, second, share, weight, seed):
    pools = {
        "domain": _rows("domain", domain),
        "general/a": _rows("general/a", first),
        "general/b": _rows("general/b", second),
    }
    mixture = Mixture(by="tokens", weights={"a": weight, "b": 1.0})
    mixed = mix(
        pools["domain"],
        pools["general/a"] + pools["general/b"],
        domain_share=share,
        seed=seed,
        mixture=mixture,
    )
    shares = {
        "domain": share,
        "general/a": (1 - share) * weight / (weight + 1),
        "general/b": (1 - share) / (weight + 1),
    }
    # The source that has least for its share is whole; the others are thinned to it.
    size = min(sum(row["length"] for row in rows) / shares[name] for name, rows in pools.items())
    for name, rows in pools.items():
        longest = max(row["length"] for row in rows)
        assert abs(_drawn(mixed, name) - size * shares[name]) <= longest + 1e-6
    assert max(Counter(row["sample_id"] for row in mixed).values()) == 1


@given(SAMPLES, SAMPLES, st.floats(0.05, 0.95), st.floats(1, 6), st.integers(0, 3))
def test_no_sample_comes_again_before_all_of_its_source_came(domain, general, share, passes, seed):
    pools = {"domain": _rows("domain", domain), "general": _rows("general", general)}
    mixture = Mixture(by="tokens", max_passes=passes)
    mixed = mix(*pools.values(), domain_share=share, seed=seed, mixture=mixture)
    for name, rows in pools.items():
        counts = Counter({row["sample_id"]: 0 for row in rows})
        counts.update(row["sample_id"] for row in mixed if row["source"] == name)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert max(counts.values()) <= -(-passes // 1)
    sizes = {name: sum(row["length"] for row in rows) for name, rows in pools.items()}
    wanted = {"domain": share, "general": 1 - share}
    least = min(pools, key=lambda name: sizes[name] / wanted[name])
    most = max(pools, key=lambda name: sizes[name] / wanted[name])
    need = sizes[most] / wanted[most] * wanted[least] / sizes[least]
    size = min(passes, need) * sizes[least] / wanted[least]
    for name, rows in pools.items():
        longest = max(row["length"] for row in rows)
        assert abs(_drawn(mixed, name) - size * wanted[name]) <= longest + 1e-6 * size


@given(
    st.lists(st.tuples(st.integers(1, 400), st.just(0)), min_size=1, max_size=40),
    SAMPLES,
    st.floats(0.2, 5),
    st.integers(0, 3),
)
def test_a_ratio_is_met_within_one_sample(texts, pictures, ratio, seed):
    """Samples without pictures beside others: the kind there is too much of is thinned, the other one is
    whole."""
    rows = _rows("general", texts + pictures)
    excess = {row["sample_id"]: row["length"] - (1 + ratio) * row["vision_tokens"] for row in rows}
    assume(min(excess.values()) < 0)  # else no choice has the ratio
    mixture = Mixture(by="tokens", text_image_ratio=ratio)
    mixed = mix([], rows, domain_share=0.0, seed=seed, mixture=mixture)
    assert abs(sum(excess[row["sample_id"]] for row in mixed)) <= max(map(abs, excess.values())) + 1e-6
    taken = {row["sample_id"] for row in mixed}
    assert len(taken) == len(mixed)
    left_out = {excess[name] > 0 for name in excess.keys() - taken}
    assert len(left_out) <= 1


def test_ratio_and_shares_together():
    """A domain of pictures alone at 30 % of the tokens, made up for by a general set of texts, pictures and
    both."""
    domain = _rows("domain", [(60, 140)] * 300)
    general = _rows("general", [(200, 0)] * 500 + [(50, 150)] * 500 + [(120, 80)] * 500)
    mixture = Mixture(by="tokens", text_image_ratio=1.0)
    mixed = mix(domain, general, domain_share=0.3, seed=1, mixture=mixture)
    assert token_ratio(mixed) == pytest.approx(1.0, abs=0.01)
    assert _drawn(mixed, "domain") / sum(row["length"] for row in mixed) == pytest.approx(0.3, abs=0.01)
    assert mixed == mix(domain, general, domain_share=0.3, seed=1, mixture=mixture)
    assert mixed != mix(domain, general, domain_share=0.3, seed=2, mixture=mixture)


def test_a_ratio_out_of_reach_says_what_is_missing():
    rows = _rows("general", [(10, 100)] * 5)
    mixture = Mixture(text_image_ratio=1.0)
    with pytest.raises(
        ConfigError, match="too much vision whatever is left out .whole, they have: general 0.1.; add"
    ):
        mix([], rows, domain_share=0.0, mixture=mixture)


def test_weights_name_the_sets_that_there_are():
    rows = _rows("general/a", [(1, 0)]) + _rows("general/b", [(1, 0)])
    with pytest.raises(
        ConfigError, match="names a; the general data has the sets a, b: give each of them a weight"
    ):
        mix([], rows, domain_share=0.0, mixture=Mixture(weights={"a": 1}))
    mixed = mix([], rows, domain_share=0.0, mixture=Mixture(weights={"a": 1, "b": 0}))
    assert [row["set"] for row in mixed] == ["a"]


def test_a_share_of_nothing_is_an_error():
    with pytest.raises(DataError, match="no samples of domain, which should have a share"):
        mix([], _rows("general", [(1, 0)]), domain_share=0.3)
    with pytest.raises(DataError, match="no samples of general"):
        mix(_rows("domain", [(1, 0)]), [], domain_share=0.3)


def test_the_cap_is_drawn_before_anything_is_planned():
    rows = _rows("general", [(1, 0)] * 50)
    few = capped(rows, 7, seed=3)
    assert len(few) == 7
    assert few == capped(rows, 0, seed=3)[:7]
    by_answers = mix([], rows, domain_share=0.0, max_general_samples=7, seed=3)
    assert {row["sample_id"] for row in by_answers} == {row["sample_id"] for row in few}


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="weights must not be negative"):
        Mixture(weights={"a": -1})
    with pytest.raises(ValueError, match="weights are all 0"):
        Mixture(weights={"a": 0})
    assert not Config().mixture.needs_lengths
    assert Config(mixture={"by": "tokens"}).mixture.needs_lengths
