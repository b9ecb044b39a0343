from __future__ import annotations

from collections import Counter

from components.curriculum_sft.config import Preferences
from components.curriculum_sft.data.pairs import build_pairs

ALL = {"max_pairs": 1000, "verbose_share": 0.0, "format_share": 0.0, "contrast": False}


def _build(kept=(), rejected=(), votes=(), reasoning_share=0.0, seed=0, **settings):
    return build_pairs(
        kept, rejected, votes, Preferences(**(ALL | settings)), reasoning_share=reasoning_share, seed=seed
    )


def _sides(pairs):
    return sorted((p["why"], p["chosen"], p["rejected"]) for p in pairs)


def test_the_voted_answer_beats_the_rejected_one(row):
    rejected = [
        row("a", "img", "How many?", "4", "number", reason="out_voted", voted_answer="3"),
        row("b", "img", "What?", "x", reason="no_majority", voted_answer=""),
        row("c", "img", "Speed?", "50 km/h", "number", reason="image_independent", voted_answer="50"),
        row("d", "img", "How many?", "9", "number", split="heldout", reason="out_voted", voted_answer="8"),
    ]
    assert _sides(_build(rejected=rejected)) == [("outvoted", "3", "4")]


def test_an_outvoted_voter_gives_a_rejected_answer(row, ballot):
    kept = [row("a", "img", "Which?", "B", "choice", choices=["red", "green", "blue"])]
    votes = [
        ballot("a", "B", True),
        ballot("a", "c", False, "v2"),
        ballot("a", "C.", False, "v3"),  # the same answer again
        ballot("a", "A", False, "v4", blind=True),  # saw no image: says nothing about the image
        ballot("unknown", "A", False),
    ]
    pairs = _build(kept, votes=votes)
    assert _sides(pairs) == [("dissent", "B", "C")]
    assert pairs[0]["prompt"] == "Which?\nA. red\nB. green\nC. blue"


def test_yes_no_pairs_are_balanced(row):
    """Ten corrections of "yes" and two of "no": as many of each are used, unless contrast pairs fill the
    gap."""
    hallucinated = [
        row(f"h{i}", f"i{i}", "Is there X?", "yes", "yes_no", reason="out_voted", voted_answer="no")
        for i in range(10)
    ]
    denied = [
        row(f"d{i}", f"i{i}", "Is there Y?", "no", "yes_no", reason="out_voted", voted_answer="yes")
        for i in range(2)
    ]
    assert Counter(p["chosen"] for p in _build(rejected=hallucinated + denied)) == {"no": 2, "yes": 2}
    kept = [row(f"k{i}", f"i{i}", "Is there Z?", "yes", "yes_no") for i in range(20)]
    pairs = _build(kept, rejected=hallucinated + denied, contrast=True)
    assert Counter(p["chosen"] for p in pairs) == {"no": 10, "yes": 10}
    # Mistakes that were really made come before constructed ones.
    assert Counter(p["why"] for p in pairs) == {"outvoted": 12, "contrast": 8}


def test_no_is_chosen_in_its_share_of_the_yes_no_pairs(row):
    """At 3/4, six "no" pairs allow eight in all; at 1, only denials are left."""
    kept = [row(f"n{i}", f"i{i}", "Is there X?", "no", "yes_no") for i in range(6)]
    kept += [row(f"y{i}", f"i{i}", "Is there Y?", "yes", "yes_no") for i in range(6)]
    for share, expected in ((0.75, {"no": 6, "yes": 2}), (1.0, {"no": 6}), (0.0, {"yes": 6})):
        pairs = _build(kept, contrast=True, denial_share=share)
        assert Counter(p["chosen"] for p in pairs) == expected


def test_wrong_answers_have_the_style_of_the_right_one(row):
    kept = [
        row("a", "i", "Is it on?", "no", "yes_no", reasoning="It is dark."),
        row("b", "i", "Is it off?", "yes", "yes_no"),
    ]
    assert _sides(_build(kept, contrast=True, reasoning_share=1.0)) == [
        ("contrast", "It is dark. Answer: no", "It is dark. Answer: yes"),
        ("contrast", "yes", "no"),
    ]


def test_verbose_and_format_pairs_take_their_shares(row):
    kept = [
        row(f"v{i}", f"i{i}", "How many?", "3", "number", reasoning="One, two, three.") for i in range(50)
    ]
    kept += [row(f"c{i}", f"i{i}", "Which?", "A", "choice", choices=["red", "blue"]) for i in range(50)]
    rejected = [
        row(f"r{i}", f"i{i}", "How long?", "4", "number", reason="out_voted", voted_answer="5")
        for i in range(50)
    ]
    pairs = _build(kept, rejected=rejected, max_pairs=40, verbose_share=0.25, format_share=0.1)
    assert Counter(p["why"] for p in pairs) == {"verbose": 10, "format": 4, "outvoted": 26}
    assert {(p["chosen"], p["rejected"]) for p in pairs if p["why"] == "verbose"} == {
        ("3", "One, two, three. Answer: 3")
    }
    assert {(p["chosen"], p["rejected"]) for p in pairs if p["why"] == "format"} == {("A", "red")}


def test_contradictions_and_repeats_are_dropped(row):
    rejected = [
        row("a", "img", "How many?", "4", "number", reason="out_voted", voted_answer="3"),
        row("b", "img", "How many?", "4", "number", reason="out_voted", voted_answer="3"),
        row("c", "img", "How many?", "3", "number", reason="out_voted", voted_answer="4"),
    ]
    assert _sides(_build(rejected=rejected)) == [("outvoted", "3", "4")]


def test_pairs_depend_on_the_seed_alone(row):
    rejected = [
        row(f"r{i}", f"i{i}", "n?", "4", "number", reason="out_voted", voted_answer="5") for i in range(50)
    ]
    first = _build(rejected=rejected, max_pairs=20, seed=1)
    assert first == _build(rejected=rejected, max_pairs=20, seed=1)
    assert first != _build(rejected=rejected, max_pairs=20, seed=2)
    assert len({p["sample_id"] for p in first}) == 20


def test_the_model_s_own_mistakes_come_first(row):
    """Its wrong answer is rejected: against its own right one, or the voted one where it never was right, in
    one style."""
    kept = [
        row("a", "img", "How many?", "7", "number"),
        row("b", "img", "What?", "lamp", "span", reasoning="It shines."),
        row("c", "img", "Is there a car?", "no", "yes_no"),
    ]
    own = {
        "a": ["There are 7. Answer: 7", "8", "I see nine. Answer: 9", "7"],
        "b": ["It is tied. Answer: belt"],
        "c": ["no", "no"],  # never wrong: nothing to correct
        "unknown": ["yes"],
    }
    settings = Preferences(
        max_pairs=10, verbose_share=0.0, format_share=0.0, contrast=True, own_pairing="length"
    )
    pairs = build_pairs(kept, (), (), settings, reasoning_share=0.0, seed=0, own=own)
    assert _sides(pairs) == [
        ("own", "7", "8"),
        ("own", "It shines. Answer: lamp", "It is tied. Answer: belt"),
    ]
    three = settings.model_copy(update={"max_pairs": 3})
    votes = [ballot_of("a", "9"), ballot_of("b", "tie")]
    few = build_pairs(kept, (), votes, three, reasoning_share=0.0, seed=0, own=own)
    assert Counter(p["why"] for p in few) == {"own": 2, "dissent": 1}


def test_any_right_answer_meets_any_wrong_one(row):
    """By default lengths do not matter: over many questions every combination occurs, none of a right with a
    right answer."""
    kept = [row(f"q{i}", "img", f"How many {i}?", "7", "number") for i in range(60)]
    answers = ["7", "I count them. Answer: 7", "8", "There are nine. Answer: 9"]
    settings = Preferences(max_pairs=100, verbose_share=0.0, format_share=0.0, contrast=False)
    own = {entry["qa_id"]: answers for entry in kept}
    pairs = build_pairs(kept, (), (), settings, reasoning_share=0.0, seed=0, own=own)
    assert len(pairs) == 60
    assert {(p["chosen"], p["rejected"]) for p in pairs} == {(r, w) for r in answers[:2] for w in answers[2:]}
    again = build_pairs(kept[::-1], (), (), settings, reasoning_share=0.0, seed=0, own=own)
    assert sorted(p["sample_id"] for p in again) == sorted(p["sample_id"] for p in pairs)


def ballot_of(qa_id: str, answer: str) -> dict:
    return {"qa_id": qa_id, "voter": "v", "blind": False, "answer": answer, "agrees": False, "tokens": 1}
