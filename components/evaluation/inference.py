"""Asking a model: pictures together, chunks that survive a kill, nothing asked twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from components.core.data.hashing import seed_for
from components.core.resume.journal import Journal
from components.evaluation.benchmarks import Item, Questions
from components.evaluation.engines import Engine, Parts, Response
from components.evaluation.prompting import content_parts


def ask(
    engine: Callable[[], Engine],
    questions: Questions,
    prompts: Sequence[str],
    chosen: Sequence[int],
    *,
    samples: int,
    temperature: float,
    seed: int,
    chunk_items: int,
    journal: Journal,
    name: str,
    on_answer: Callable[[int], object] = lambda count: None,
) -> dict[int, list[Response]]:
    """Responses to the chosen items, kept in the journal chunk by chunk.

    Items are sorted by picture size and picture before they are cut into chunks, so a picture's items share a
    chunk and its encoding; the engine sorts a chunk by length, so padding is small. A chunk is decoded as a whole
    with a seed of its own: resumed and uninterrupted runs decode the same batches and so give the same bytes.

    Args:
        engine: makes the engine; called only if something is left to ask.
        prompts: of all items, by index.
        chosen: indices of the items to ask.
        samples: responses an item.
        journal: where answered chunks are kept under `name`.
        on_answer: called with the number of newly answered items.
    """
    order = _by_picture(questions.items, chosen)
    answers: dict[int, list[Response]] = {}
    for start in range(0, len(order), chunk_items):
        chunk, key = order[start : start + chunk_items], f"{name}/{start}"
        kept = journal.get(key)
        if kept is None:
            responses = engine().answer(
                [_parts(questions, i, prompts[i]) for i in chunk],
                samples=samples,
                temperature=temperature,
                seed=seed_for(seed, key),
                on_batch=on_answer,
            )
            kept = [[tuple(response) for response in group] for group in responses]
            journal.put(key, kept)
        else:
            on_answer(len(chunk))
        answers |= {
            i: [Response(*response) for response in group] for i, group in zip(chunk, kept, strict=True)
        }
    return answers


def _by_picture(items: Sequence[Item], chosen: Sequence[int]) -> list[int]:
    """The chosen items, the largest pictures first, items about one picture together."""
    first_seen: dict[tuple[str, str], int] = {}
    for i in chosen:
        first_seen.setdefault((items[i].benchmark, items[i].image_group), i)

    def place(i: int) -> tuple[int, int, int]:
        item = items[i]
        return -item.pixels, first_seen[item.benchmark, item.image_group], i

    return sorted(chosen, key=place)


def _parts(questions: Questions, index: int, prompt: str) -> Parts:
    """The question with its pictures where the prompt names them, else before the text."""
    pictures = questions.pictures(questions.items[index])
    return [
        pictures[part] if isinstance(part, int) else part for part in content_parts(prompt, len(pictures))
    ]
