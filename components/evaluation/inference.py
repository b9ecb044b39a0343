"""Asking a model: one prompt format, length-sorted chunks, and a journal, so that nothing is asked twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from components.core.config import canonical_json, seed_for, sha256_hex
from components.core.prompts import render
from components.core.work import Journal
from components.evaluation.benchmarks import Item, Questions
from components.evaluation.config import Config


class Response(NamedTuple):
    """What a model said, how many tokens it took (its end token included), and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


class Engine(Protocol):
    """Something that answers questions about pictures."""

    def describe(self) -> dict[str, Any]:
        """Engine, versions and device, as recorded in the settings of the scores."""
        ...

    def answer(
        self,
        items: Sequence[tuple[bytes, str]],
        *,
        samples: int,
        temperature: float,
        seed: int,
        on_batch: Callable[[int], object],
    ) -> list[list[Response]]:
        """`samples` responses to each (encoded picture, prompt), in order; temperature 0 decodes greedily."""
        ...


class TransformersEngine:
    """A checkpoint directory run by transformers in this process."""

    def __init__(self, path: Path, config: Config) -> None:
        from components.core.vlm import load_model, load_processor, set_threads
        from components.evaluation.shared_vision import SharedVision

        set_threads()
        self._processor = load_processor(path)
        self._model = load_model(path, dtype=config.dtype)
        self._vision = SharedVision(self._model)
        self._config = config

    def describe(self) -> dict[str, Any]:
        import torch
        import transformers

        return {
            "name": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "device": self._model.device.type,
            "dtype": str(self._model.dtype).removeprefix("torch."),
        }

    def answer(
        self,
        items: Sequence[tuple[bytes, str]],
        *,
        samples: int,
        temperature: float,
        seed: int,
        on_batch: Callable[[int], object],
    ) -> list[list[Response]]:
        from components.core.vlm import generate

        self._vision.clear()
        completions = generate(
            self._model,
            self._processor,
            items,
            max_new_tokens=self._config.max_new_tokens,
            temperature=temperature,
            num_samples=samples,
            batch_size=self._config.batch_size,
            seed=seed,
            on_batch=on_batch,
        )
        return [[Response(c.text, c.tokens, c.finished) for c in group] for group in completions]


def prompt_for(item: Item, style: str) -> str:
    """The prompt of an item: question and options as in training, with the type's instruction if `instructed`."""
    from components.core.vlm.messages import format_question

    question = format_question(item.question, item.choices)
    if style == "plain":
        return question
    return render(__file__, f"{item.answer_type}.jinja", question=question)[0]


def prompts_hash(prompts: Sequence[str]) -> str:
    """Sixteen hex digits over all prompts in order."""
    return sha256_hex(canonical_json(list(prompts)))[:16]


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
    chunk and its encoding; `generate` sorts a chunk by length, so padding is small. A chunk is decoded as a whole with a seed of its own: resumed and uninterrupted runs decode
    the same batches and so give the same bytes.

    Args:
        engine: makes the engine; called only if something is left to ask.
        prompts: of all items, by index.
        chosen: indices of the items to ask.
        samples: responses an item.
        journal: where answered chunks are kept under `name`.
        on_answer: called with the number of newly answered items.
    """
    first_seen: dict[tuple[str, str], int] = {}
    for i in chosen:
        first_seen.setdefault((questions.items[i].benchmark, questions.items[i].image_group), i)

    def place(i: int) -> tuple[int, int, int]:
        item = questions.items[i]
        return -item.pixels, first_seen[item.benchmark, item.image_group], i

    order = sorted(chosen, key=place)
    answers: dict[int, list[Response]] = {}
    for start in range(0, len(order), chunk_items):
        chunk, key = order[start : start + chunk_items], f"{name}/{start}"
        kept = journal.get(key)
        if kept is None:
            responses = engine().answer(
                [(questions.picture(questions.items[i]), prompts[i]) for i in chunk],
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
