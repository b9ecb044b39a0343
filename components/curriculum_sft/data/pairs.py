"""Preference pairs (for DPO) from votes and from the starting model's own answers.

A pair says which of two responses to the same question about the same picture is better, and why:

- own: a right answer over a wrong one that the starting model gave when asked
- outvoted: the voters' answer over the proposed one that they rejected
- dissent: the accepted answer over that of a voter who was outvoted
- contrast: an accepted yes (no) over its opposite
- verbose: the short answer over the same answer with its reasoning
- format: the asked-for form over the same content without it

Own answers matter most: a model learns little from texts that it would never write (arXiv 2404.14367).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from components.core.answers import agree, extract, normalise
from components.core.answers.comparison import answer_kind
from components.core.data.hashing import rng_for, seed_for
from components.core.resume.shared_batches import SharedBatches
from components.core.stats.even_draw import draw_evenly
from components.core.vlm import generate
from components.core.vlm.messages import ANSWER_MARK, format_question, format_response
from components.curriculum_sft.config import Preferences
from components.curriculum_sft.data.batches import Pictures
from components.curriculum_sft.data.mixture import shuffled
from components.curriculum_sft.data.samples import Row, content_id, is_reasoned, response_of

_OPPOSITE = {"yes": "no", "no": "yes"}
_BATCH = 64


def questions_to_ask(kept: Iterable[Row], limit: int, seed: int) -> list[Row]:
    """At most `limit` items of the train split, drawn evenly over kinds of answer."""
    return draw_evenly(
        (dict(row) for row in kept if row["split"] == "train"),
        limit,
        kind=lambda row: answer_kind(row["answer_type"], row["answer"]),
        key=lambda row: str(row["qa_id"]),
        seed=("own answers", seed),
    )


def ask(
    rows: Sequence[Row],
    model: Any,
    processor: Any,
    pictures: Pictures,
    settings: Preferences,
    *,
    seed: int,
    divided: SharedBatches,
    on_batch: Callable[[int], object],
) -> dict[str, list[str]]:
    """The starting model's responses by `qa_id`, sampled at temperature 1; those that were cut are left out.

    Batches are seeded by their place in the whole list; `divided` shares them out among the processes.
    """

    def answer(number: int, batch: Sequence[Row]) -> dict[str, list[str]]:
        answered = generate(
            model,
            processor,
            [(pictures.get(r["image_id"]), format_question(r["question"], r["choices"])) for r in batch],
            max_new_tokens=settings.own_max_tokens,
            temperature=1.0,
            num_samples=settings.own_samples,
            batch_size=_BATCH * settings.own_samples,
            seed=seed_for(seed, "own answers", number),
        )
        return {
            row["qa_id"]: [c.text for c in completions if c.finished]
            for row, completions in zip(batch, answered, strict=True)
        }

    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    return divided.answers(batches, lambda row: str(row["qa_id"]), answer, on_batch)


def build_pairs(
    kept: Iterable[Row],
    rejected: Iterable[Row],
    votes: Iterable[Row],
    settings: Preferences,
    *,
    reasoning_share: float,
    seed: int,
    own: Mapping[str, list[str]] | None = None,
) -> list[Row]:
    """Build and choose preference pairs from the train split.

    Args:
        kept: rows of `qa_kept`; `rejected` of `qa_rejected`, `votes` of `votes`.
        settings: which pairs, and how many.
        reasoning_share: share of answers written with their reasoning, as in fine-tuning.
        seed: of every draw.
        own: responses of the starting model by `qa_id` (see `ask`).

    Returns:
        At most `settings.max_pairs` rows {sample_id, image_ids, prompt, chosen, rejected, why, polarity,
        source}, in one seeded order.
    """
    kept = [row for row in kept if row["split"] == "train"]
    rejected = [row for row in rejected if row["split"] == "train"]
    wrong = [
        *_own(kept, own or {}, settings.own_pairing, seed),
        *_outvoted(rejected),
        *_dissent(kept, votes, reasoning_share, seed),
    ]
    if settings.contrast:
        wrong += _contrast(kept, reasoning_share, seed)
    most = settings.max_pairs
    verbose = _unique(_verbose(kept, seed))[: round(most * settings.verbose_share)]
    formats = _unique(_format(kept, reasoning_share, seed))[: round(most * settings.format_share)]
    room = most - len(verbose) - len(formats)
    chosen = _wrong_answers(_unique(wrong), room, settings.denial_share, seed)
    return shuffled(chosen + verbose + formats, seed, "pairs")


def _wrong_answers(pairs: list[Row], room: int, denial_share: float, seed: int) -> list[Row]:
    """Up to `room` pairs: yes/no at their shares first, real hallucinations before constructed ones."""
    polar: dict[str, list[Row]] = {answer: [] for answer in _OPPOSITE}
    others: list[Row] = []
    for pair in pairs:
        (polar[pair["polarity"]] if pair["polarity"] else others).append(pair)
    # At most two thirds are yes/no: counting, reading and colours need their corrections too.
    most = max(room - len(others), round(room * 2 / 3))
    shares = {"no": denial_share, "yes": 1.0 - denial_share}
    count = min(room, most, *(int(len(polar[answer]) / share) for answer, share in shares.items() if share))
    balanced: list[Row] = []
    for answer, share in shares.items():
        balanced += _ranked(polar[answer], seed, answer)[: int(count * share)]
    return balanced + _ranked(others, seed, "others")[: room - len(balanced)]


def _ranked(pairs: list[Row], seed: int, name: str) -> list[Row]:
    """Shuffled, and then by the rejected response's distance from the model's own words."""
    distance = {"own": 0, "contrast": 2}
    return sorted(shuffled(pairs, seed, name), key=lambda pair: distance.get(pair["why"], 1))


def _own(kept: list[Row], own: Mapping[str, list[str]], pairing: str, seed: int) -> Iterable[Row]:
    """A right response over a wrong one for each question that the model answered wrongly.

    A question without a right response takes the voted answer in the wrong one's style. Never the shortest on
    both sides: preferring short responses teaches a model that reasons to guess.
    """
    for row in kept:
        kind, choices, question = row["answer_type"], row["choices"], row["question"]
        said = sorted(set(own.get(row["qa_id"], ())))
        found = [(text, extract(text, kind, choices, question)) for text in said]
        right = [text for text, answer in found if answer and agree(answer, row["answer"], kind, choices)]
        wrong = [text for text, answer in found if answer and not agree(answer, row["answer"], kind, choices)]
        if not wrong:
            continue
        draw = rng_for("own", seed, row["qa_id"])
        rejected = str(draw.choice(wrong))
        if right and pairing == "length":
            chosen, rejected = min(
                ((good, bad) for good in right for bad in wrong),
                key=lambda pair: (abs(len(pair[0]) - len(pair[1])), pair),
            )
        elif right:
            chosen = str(draw.choice(right))
        else:
            chosen = format_response(row["answer"], row["reasoning"] if ANSWER_MARK in rejected else "")
        yield _pair(row, chosen, rejected, "own", polarity=_polarity(row, row["answer"]))


def _outvoted(rows: Iterable[Row]) -> Iterable[Row]:
    for row in rows:
        voted = row["voted_answer"]
        if voted and not agree(voted, row["answer"], row["answer_type"], row["choices"]):
            yield _pair(row, voted, row["answer"], "outvoted", polarity=_polarity(row, voted))


def _dissent(kept: list[Row], votes: Iterable[Row], reasoning_share: float, seed: int) -> Iterable[Row]:
    by_id = {row["qa_id"]: row for row in kept}
    seen: set[tuple[str, str]] = set()
    for vote in votes:
        row = by_id.get(vote["qa_id"])
        if row is None or vote["blind"] or vote["agrees"] or not vote["answer"]:
            continue
        form = normalise(vote["answer"], row["answer_type"], row["choices"])
        if not form or (row["qa_id"], form) in seen:
            continue
        seen.add((row["qa_id"], form))
        # The canonical form of a closed answer is an answer; that of a free one is text that nobody wrote.
        wrong = vote["answer"] if row["answer_type"] in ("span", "open") else form
        yield _answer_pair(row, wrong, "dissent", reasoning_share, seed)


def _contrast(kept: list[Row], reasoning_share: float, seed: int) -> Iterable[Row]:
    for row in kept:
        opposite = _OPPOSITE.get(_polarity(row, row["answer"]))
        if opposite:
            yield _answer_pair(row, opposite, "contrast", reasoning_share, seed)


def _verbose(kept: list[Row], seed: int) -> list[Row]:
    pairs = [
        _pair(row, row["answer"], format_response(row["answer"], row["reasoning"]), "verbose")
        for row in kept
        if row["reasoning"]
    ]
    return shuffled(pairs, seed, "verbose")


def _format(kept: list[Row], reasoning_share: float, seed: int) -> list[Row]:
    pairs = []
    for row in kept:
        letter = row["answer"].strip().upper()
        index = ord(letter) - ord("A") if len(letter) == 1 else -1
        if row["answer_type"] == "choice" and 0 <= index < len(row["choices"]):
            # The option's letter over its text.
            pairs.append(_pair(row, letter, row["choices"][index], "format"))
        elif row["reasoning"] and is_reasoned(row["qa_id"], reasoning_share, seed):
            # Reasoning with its answer over reasoning that never comes to one.
            reasoned = format_response(row["answer"], row["reasoning"])
            pairs.append(_pair(row, reasoned, row["reasoning"], "format"))
    return shuffled(pairs, seed, "format")


def _answer_pair(row: Row, wrong: str, why: str, reasoning_share: float, seed: int) -> Row:
    """Right over wrong final answer, both in the item's style in fine-tuning: only the answer differs."""
    chosen = response_of(row, reasoning_share, seed)
    reasoning = row["reasoning"] if chosen != format_response(row["answer"]) else ""
    return _pair(row, chosen, format_response(wrong, reasoning), why, polarity=_polarity(row, row["answer"]))


def _polarity(row: Row, answer: str) -> str:
    """ "yes" or "no" for an answer to a yes/no question, "" otherwise."""
    form = normalise(answer, "yes_no", ()) if row["answer_type"] == "yes_no" else ""
    return form if form in _OPPOSITE else ""


def _pair(row: Row, chosen: str, rejected: str, why: str, polarity: str = "") -> Row:
    return {
        "sample_id": f"{why}-{content_id(row['qa_id'], chosen, rejected)}",
        "image_ids": [row["image_id"]],
        "prompt": format_question(row["question"], row["choices"]),
        "chosen": chosen.strip(),
        "rejected": rejected.strip(),
        "why": why,
        "polarity": polarity,
        "source": why,
    }


def _unique(pairs: Iterable[Row]) -> list[Row]:
    """Without repeated or contradictory comparisons, and without pairs whose two sides are the same text."""
    taken: dict[tuple[str, ...], Row] = {}
    for pair in pairs:
        key = (pair["image_ids"][0], pair["prompt"])
        sides = (pair["chosen"], pair["rejected"])
        if sides[0] != sides[1] and (*key, sides[1], sides[0]) not in taken:
            taken.setdefault((*key, *sides), pair)
    return list(taken.values())
