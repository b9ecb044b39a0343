"""On-policy background: general samples with the model's own answers in place of the data's.

Fine-tuning on somebody else's general answers moves a model as the domain does. Its own sampled answers,
mixed into domain training, hold it where it is (Thinking Machines, "On-Policy Distillation", 2025: 70 %
domain, 30 % background).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from components.core.data.hashing import seed_for
from components.core.resume.shared_batches import SharedBatches
from components.core.vlm import generate
from components.core.vlm.messages import images_in, parts_of
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import Pictures
from components.curriculum_sft.data.mixture import capped, mix
from components.curriculum_sft.data.samples import Row

_BATCH = 64
Turns = list[dict[str, Any]]


class Asked(NamedTuple):
    """A turn to be answered."""

    number: int
    """Of its sample."""
    image_ids: Sequence[str]
    before: Turns


Ask = Callable[[int, Sequence[Asked]], list[str | None]]
"""Round and turns -> an answer each, None for one that was cut."""


def wanted(domain: list[Row], general: list[Row], config: Config) -> list[Row]:
    """The general samples that the mixture will draw; all candidates where shares are of tokens."""
    if config.mixture.needs_lengths:
        return capped(general, config.max_general_samples, config.seed)
    drawn = mix(
        domain,
        general,
        domain_share=config.domain_share,
        max_general_samples=config.max_general_samples,
        seed=config.seed,
        mixture=config.mixture,
    )
    ours = {id(row) for row in general}
    return list({id(row): row for row in drawn if id(row) in ours}.values())


def with_own_answers(rows: Sequence[Row], ask: Ask, separate: bool) -> list[Row]:
    """The samples with every answer replaced; a sample ends before an answer that was cut or empty.

    Args:
        rows: general samples with `messages` (JSON).
        ask: answers one turn of several samples.
        separate: questions do not see each other in training, so each is asked alone. Otherwise each is
            asked after the turns before it, with the model's own answers to them.
    """
    talks: list[Turns] = [json.loads(row["messages"]) for row in rows]
    places = [[n for n, turn in enumerate(talk) if turn["role"] == "assistant"] for talk in talks]
    ends = [len(talk) for talk in talks]
    for number in range(max(map(len, places), default=0)):
        open_ = [i for i, own in enumerate(places) if number < len(own) and own[number] < ends[i]]
        asked = []
        for i in open_:
            before = _alone(talks[i], places[i][number]) if separate else talks[i][: places[i][number]]
            shown = sum(images_in(parts_of(turn)) for turn in before)
            asked.append(Asked(i, rows[i]["image_ids"][:shown], before))
        for i, answer in zip(open_, ask(number, asked), strict=True):
            place = places[i][number]
            if answer:
                talks[i][place] = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
            else:
                ends[i] = _last_answer(talks[i], place)
    kept = []
    for row, talk, end in zip(rows, talks, ends, strict=True):
        if end:
            shown = sum(images_in(parts_of(turn)) for turn in talk[:end])
            messages = json.dumps(talk[:end], ensure_ascii=False)
            kept.append({**row, "messages": messages, "image_ids": row["image_ids"][:shown]})
    return kept


def _alone(talk: Turns, place: int) -> Turns:
    """What a separate question sees: what stands before the first question, all pictures up to it, itself."""
    first = next(n for n, turn in enumerate(talk) if turn["role"] == "user")
    pictures = [part for turn in talk[first:place] for part in parts_of(turn) if part["type"] == "image"]
    text = [part for part in parts_of(talk[place - 1]) if part["type"] != "image"]
    return [*talk[:first], {"role": "user", "content": [*pictures, *text]}]


def _last_answer(talk: Turns, before: int) -> int:
    """Length of the conversation that ends with the last answer before a place; 0 without one."""
    return max((n + 1 for n in range(before) if talk[n]["role"] == "assistant"), default=0)


def answers_of(
    load: Callable[[], Any],
    processor: Any,
    pictures: Pictures,
    config: Config,
    batches_of: Callable[[str], SharedBatches],
    on_batch: Callable[[int], object],
) -> Ask:
    """Ask a model, at the settings of `distillation`; answers are journalled by batch and shared by ranks.

    Args:
        load: loads the model, when an answer is missing.
        processor: of the model.
        pictures: of the samples.
        config: of the stage.
        batches_of: name -> the batches whose progress is kept under it.
        on_batch: called with the number of answers that each batch has given.
    """
    settings = config.distillation
    held: list[Any] = []

    def answer(round_: int, number: int, batch: Sequence[Asked]) -> Mapping[str, str | None]:
        if not held:
            held.append(load())
        found = generate(
            held[0],
            processor,
            [([pictures.get(i) for i in one.image_ids], one.before) for one in batch],
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            batch_size=_BATCH,
            seed=seed_for(config.seed, "background", round_, number),
        )
        said = [one[0].text.strip() if one[0].finished else None for one in found]
        return {str(one.number): text for one, text in zip(batch, said, strict=True)}

    def ask(round_: int, asked: Sequence[Asked]) -> list[str | None]:
        batches = [asked[start : start + _BATCH] for start in range(0, len(asked), _BATCH)]
        shared = batches_of(f"background_{round_}")
        found = shared.answers(batches, lambda one: str(one.number), partial(answer, round_), on_batch)
        return [found[str(one.number)] for one in asked]

    return ask
