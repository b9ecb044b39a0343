"""Asking a model: prompts, pictures among the words, chunks that survive a kill, nothing asked twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.core.benchmarks.kinds import rules_of
from components.core.data.hashing import canonical_json, seed_for, sha256_hex
from components.core.mllm.prompts import render_source
from components.core.pictures import UnreadablePicture, check_whole
from components.core.resume.journal import Journal
from components.core.stage.errors import DataError
from components.core.vlm.messages import format_question, split_at_images
from components.evaluation.engines import Decoding, Engine, Parts, Response
from components.evaluation.items import Item, Questions


def prompt_for(item: Item, style: str) -> str:
    """The prompt of an item; placeholders ``<image n>`` stay where the question has them.

    Style plain writes hint, question and options as in training; instructed fills the kind's template.
    """
    question = (f"Hint: {item.hint}\n" if item.hint else "") + format_question(item.question, item.choices)
    return question if style == "plain" else _filled(item, question)[0]


def prompts_hash(prompts: Sequence[str]) -> str:
    """Sixteen hex digits over all prompts in order."""
    return sha256_hex(canonical_json(list(prompts)))[:16]


def template_hashes(items: Sequence[Item]) -> dict[str, str]:
    """Hash of the source of each template that the items' kinds use, by name."""
    firsts: dict[str, Item] = {}
    for item in items:
        firsts.setdefault(_template_of(item), item)
    return {f"{name}.jinja": _filled(firsts[name], "")[1] for name in sorted(firsts)}


def _template_of(item: Item) -> str:
    prompts = rules_of(item.kind).prompts
    return item.answer_type if item.answer_type in prompts else next(iter(prompts))


def _filled(item: Item, question: str) -> tuple[str, str]:
    """The filled template and the hash of its source."""
    return render_source(
        rules_of(item.kind).prompts[_template_of(item)],
        question=question,
        answer_type=item.answer_type,
        form=item.form,
        precision=item.precision,
        unit=item.unit,
    )


def content_parts(prompt: str, pictures: int) -> list[int | str]:
    """A prompt's content in order: numbers of pictures from 0, and texts between them.

    Pictures that no placeholder names come first, in order. One named twice is shown where it is named first.
    """
    parts = split_at_images(prompt, pictures)
    return [*(n for n in range(pictures) if n not in parts), *parts]


def ask(
    engine: Callable[[], Engine],
    questions: Questions,
    prompts: Sequence[str],
    chosen: Sequence[int],
    decoding: Decoding,
    *,
    chunk_items: int,
    journal: Journal,
    name: str,
    on_answer: Callable[[int], object] = lambda count: None,
) -> dict[int, list[Response]]:
    """Responses to the chosen items, kept in the journal chunk by chunk.

    Items are sorted by picture before they are cut into chunks, so that a picture's items share its encoding.
    A chunk has a seed of its own, so resumed and uninterrupted runs decode the same bytes.

    Args:
        engine: makes the engine; called only if something is left to ask.
        prompts: of all items, by index.
        chosen: indices of the items to ask.
        journal: where answered chunks are kept under `name`.
        on_answer: called with the number of newly answered items.
    """
    order = _by_picture(questions.items, chosen)
    answers: dict[int, list[Response]] = {}
    for start in range(0, len(order), chunk_items):
        chunk, key = order[start : start + chunk_items], f"{name}/{start}"
        kept = journal.get(key)
        if kept is None:
            parts = [_parts(questions, i, prompts[i]) for i in chunk]
            seeded = decoding._replace(seed=seed_for(decoding.seed, key))
            try:
                responses = engine().answer(parts, decoding=seeded, on_batch=on_answer)
            except UnreadablePicture as error:
                raise _named(questions, chunk, error) from error
            kept = [[tuple(response) for response in group] for group in responses]
            journal.put(key, kept)
        else:
            on_answer(len(chunk))
        for i, group in zip(chunk, kept, strict=True):
            answers[i] = [Response(*response) for response in group]
    return answers


def _named(questions: Questions, chunk: Sequence[int], error: UnreadablePicture) -> DataError:
    """The error that names the item whose picture cannot be decoded."""
    for item in (questions.items[i] for i in chunk):
        for picture in questions.pictures(item):
            try:
                check_whole(picture)
            except UnreadablePicture as fault:
                where = f"benchmark '{item.benchmark}', item {item.item_id}"
                return DataError(f"{where}: its picture cannot be decoded ({fault}); replace it")
    return DataError(f"a picture cannot be decoded ({error})")


def _by_picture(items: Sequence[Item], chosen: Sequence[int]) -> list[int]:
    """The chosen items, the largest pictures first, items about one picture together."""
    first_seen: dict[tuple[str, str], int] = {}
    places = {i: first_seen.setdefault((items[i].benchmark, items[i].image_group), i) for i in chosen}
    return sorted(chosen, key=lambda i: (-items[i].pixels, places[i], i))


def _parts(questions: Questions, index: int, prompt: str) -> Parts:
    pictures = questions.pictures(questions.items[index])
    parts = content_parts(prompt, len(pictures))
    return [pictures[part] if isinstance(part, int) else part for part in parts]
