from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from components.curriculum_sft.data.mixture import answer_share, mix
from components.curriculum_sft.data.samples import count_answers, domain_samples, is_reasoned, sample


def _turns(row):
    texts = [
        " ".join(p["text"] for p in m["content"] if p["type"] == "text") for m in json.loads(row["messages"])
    ]
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_questions_of_an_image_share_a_sample(row):
    rows = [row(f"q{i}", "img1", f"Question {i}?", str(i)) for i in range(5)] + [
        row("x", "img2", "Other?", "x")
    ]
    samples = domain_samples(rows, questions_per_sample=8, reasoning_share=0, seed=0)
    assert [s["image_ids"] for s in samples] == [["img1"], ["img2"]]
    assert sorted(_turns(samples[0])) == [(f"Question {i}?", str(i)) for i in range(5)]
    assert json.loads(samples[0]["messages"])[0]["content"][0] == {"type": "image"}
    assert sum(p["type"] == "image" for m in json.loads(samples[0]["messages"]) for p in m["content"]) == 1


def test_many_questions_are_spread_evenly_over_samples(row):
    rows = [row(f"q{i}", "img", f"Question {i}?", str(i)) for i in range(9)]
    samples = domain_samples(rows, questions_per_sample=4, reasoning_share=0, seed=0)
    assert [count_answers(s) for s in samples] == [3, 3, 3]
    assert len({turn for s in samples for turn in _turns(s)}) == 9
    assert len({s["sample_id"] for s in samples}) == 3


def test_held_out_items_are_not_trained_on(row):
    rows = [row("a", "img", "q?", "1"), row("b", "img", "secret?", "2", split="heldout")]
    assert _turns(domain_samples(rows, questions_per_sample=8, reasoning_share=0, seed=0)[0]) == [("q?", "1")]


def test_response_style_is_drawn_per_item(row):
    rows = [row(f"q{i}", f"img{i}", "q?", "1", reasoning="Because.") for i in range(400)]
    answers = [
        _turns(s)[0][1] for s in domain_samples(rows, questions_per_sample=8, reasoning_share=0.25, seed=1)
    ]
    assert set(answers) == {"1", "Because. Answer: 1"}
    # Binomial(400, 0.25): mean 100, standard deviation 8.7.
    assert 65 < answers.count("Because. Answer: 1") < 135
    assert [is_reasoned("q7", 0.25, 1)] * 3 == [is_reasoned("q7", 0.25, 1) for _ in range(3)]
    assert not any(is_reasoned(f"q{i}", 0.0, 1) for i in range(50))
    assert all(is_reasoned(f"q{i}", 1.0, 1) for i in range(50))


def _rows(source: str, counts: list[int]) -> list[dict]:
    return [sample(f"{source}{i}", [("q", "a")] * count, "img", source) for i, count in enumerate(counts)]


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=60),
    st.lists(st.integers(1, 8), min_size=1, max_size=60),
    st.floats(0.05, 0.95),
)
def test_mixture_has_the_wanted_share(domain_counts, general_counts, share):
    """One side is whole; whole samples miss the share by less than one sample's answers on the other."""
    domain, general = _rows("domain", domain_counts), _rows("general", general_counts)
    mixed = mix(domain, general, domain_share=share, seed=3)
    ids = [row["sample_id"] for row in mixed]
    assert len(ids) == len(set(ids))
    taken = {
        source: sum(count_answers(r) for r in mixed if r["source"] == source)
        for source in ("domain", "general")
    }
    ratio = share / (1 - share)
    whole_domain, whole_general = (
        taken["domain"] == sum(domain_counts),
        taken["general"] == sum(general_counts),
    )
    assert whole_domain or whole_general
    if taken["domain"] > 8 and taken["general"] > 8:
        assert abs(taken["domain"] - ratio * taken["general"]) <= 8 * max(ratio, 1)


def test_mixture_bounds():
    domain, general = _rows("domain", [2] * 10), _rows("general", [1] * 40)
    assert answer_share(mix(domain, general, domain_share=1.0)) == 1.0
    assert answer_share(mix(domain, general, domain_share=0.0)) == 0.0
    assert answer_share(mix(domain, general, domain_share=0.5)) == 0.5
    assert len(mix(domain, general, domain_share=0.0, max_general_samples=7)) == 7
    assert mix(domain, general, domain_share=0.5, seed=1) == mix(domain, general, domain_share=0.5, seed=1)
    assert mix(domain, general, domain_share=0.5, seed=1) != mix(domain, general, domain_share=0.5, seed=2)
