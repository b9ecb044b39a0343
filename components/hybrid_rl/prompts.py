"""Which questions are worth training on: the kept training questions that the policy neither always nor never solves."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from PIL import Image

from components.core import answers
from components.core.data.even_draw import answer_kind, draw_evenly
from components.core.data.hashing import seed_for
from components.core.data.image_store import ImageStore
from components.core.resume.shared_batches import SharedBatches
from components.core.vlm import Completion, format_question, generate

from .config import Config, Prompts


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to train on."""

    prompt_id: str
    image_id: str
    question: str
    """Text as the model sees it, with the choices."""
    reference: str
    answer_type: answers.AnswerType
    choices: tuple[str, ...]
    difficulty: float
    """1 - agreement of the voters."""
    pass_rate: float = -1.0
    """Share of the starting policy's answers that were right; -1 when not measured."""
    blank_answer: str | None = None
    """The starting policy's answer to a blanked image; None when not asked."""

    def row(self) -> dict[str, Any]:
        """As a row of the training set."""
        return {**asdict(self), "choices": list(self.choices)}

    @property
    def hardness(self) -> float:
        """Order of the curriculum: by measured failure, then by the voters' disagreement."""
        return self.difficulty if self.pass_rate < 0 else 0.9 * (1.0 - self.pass_rate) + 0.1 * self.difficulty


def candidates(
    rows: Iterable[dict[str, Any]], limit: int, seed: int, answer_types: Collection[str] | None = None
) -> list[Prompt]:
    """At most `limit` questions of the training split, drawn as evenly over kinds of answer as they last.

    Args:
        rows: of table qa_kept.
        limit: most questions returned.
        seed: of the draw. The same rows in another order give the same questions.
        answer_types: types to draw from; None for all.

    Returns:
        Ordered by prompt id.
    """
    found = []
    for row in rows:
        if row["split"] != "train" or not row["answer"].strip():
            continue
        if answer_types is not None and row["answer_type"] not in answer_types:
            continue
        choices = tuple(row["choices"] or ())
        found.append(
            Prompt(
                prompt_id=row["qa_id"],
                image_id=row["image_id"],
                question=format_question(row["question"], choices),
                reference=row["answer"],
                answer_type=row["answer_type"],
                choices=choices,
                difficulty=float(row["difficulty"]),
            )
        )
    chosen = draw_evenly(found, limit, kind=_kind, key=_prompt_id, seed=(seed, "candidates"))
    return sorted(chosen, key=_prompt_id)


def _kind(prompt: Prompt) -> str:
    return answer_kind(prompt.answer_type, prompt.reference)


def _prompt_id(prompt: Prompt) -> str:
    return prompt.prompt_id


def blanked(picture: bytes) -> Image.Image:
    """A grey picture of the same size."""
    with Image.open(io.BytesIO(picture)) as image:
        return Image.new("RGB", image.size, (127, 127, 127))


def measure(
    prompts: Sequence[Prompt],
    model: Any,
    processor: Any,
    store: ImageStore,
    config: Config,
    divided: SharedBatches,
    on_batch: Callable[[int], object] = lambda count: None,
) -> list[Prompt]:
    """The prompts with the policy's pass rate and, if perception is rewarded and it is not known, its answer to the blanked image.

    Batches are cut from the whole list and seeded by their place, so that a resumed measurement gives what an
    uninterrupted one would, and several processes what one would.

    Args:
        divided: shares the batches out among the processes, and keeps what has been measured.
        on_batch: called with the number of prompts done.
    """
    settings = config.prompts
    samples = settings.pass_rate_samples
    ask_blank = config.weights.perception != 0.0 and any(prompt.blank_answer is None for prompt in prompts)
    size = max(1, settings.pass_rate_batch_size // max(1, samples))
    ask = partial(
        generate,
        model,
        processor,
        max_new_tokens=config.max_completion_tokens,
        batch_size=size * max(1, samples),
    )

    def answer(number: int, batch: Sequence[Prompt]) -> dict[str, Any]:
        items = [(store.get(prompt.image_id), prompt.question) for prompt in batch]
        sampled: list[list[Completion]] = [[] for _ in batch]
        unseen: list[list[Completion]] = [[] for _ in batch]
        if samples:
            seed = seed_for(config.seed, "pass_rate", number)
            sampled = ask(items, temperature=config.temperature, num_samples=samples, seed=seed)
        if ask_blank:
            unseen = ask([(blanked(picture), question) for picture, question in items])
        found = {}
        for prompt, completions, without in zip(batch, sampled, unseen, strict=True):
            right = [_right(prompt, completion.text) for completion in completions]
            found[prompt.prompt_id] = {
                "pass_rate": sum(right) / len(right) if right else -1.0,
                "blank_answer": _extract(prompt, without[0].text) if without else prompt.blank_answer,
            }
        return found

    batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    measured = divided.answers(batches, _prompt_id, answer, on_batch)
    return [replace(prompt, **measured[prompt.prompt_id]) for prompt in prompts]


def select(prompts: Sequence[Prompt], settings: Prompts, at_least: int) -> list[Prompt]:
    """Prompts whose pass rate lies strictly inside the kept range, in their order.

    A prompt that is always or never solved has a group without variance: it costs rollouts and teaches nothing. When
    fewer than `at_least` remain and the settings say `fill`, those nearest to the range join, hardest last. Of yes/no
    prompts as many ask for "no" as for "yes": a policy that says one of them too readily fails at the other only, and
    the range alone would leave those.
    """
    low, high = settings.min_pass_rate, settings.max_pass_rate
    kept = _balanced([p for p in prompts if p.pass_rate < 0 or low < p.pass_rate < high])
    if len(kept) < at_least and settings.on_too_few == "fill":
        rest = [p for p in prompts if p.prompt_id not in kept]
        rest.sort(
            key=lambda p: (
                max(low - p.pass_rate, p.pass_rate - high),
                -p.pass_rate,
                p.difficulty,
                p.prompt_id,
            )
        )
        kept |= {p.prompt_id for p in rest[: at_least - len(kept)]}
    return [p for p in prompts if p.prompt_id in kept]


def _balanced(prompts: Sequence[Prompt]) -> set[str]:
    """Ids without those yes/no prompts that have no counterpart, the surest and the most hopeless first."""
    polar: dict[str, list[Prompt]] = {"yes_no yes": [], "yes_no no": []}
    for prompt in prompts:
        if (own := polar.get(_kind(prompt))) is not None:
            own.append(prompt)
    room = min(len(own) for own in polar.values())
    dropped = {
        p.prompt_id
        for own in polar.values()
        for p in sorted(own, key=lambda p: (abs(p.pass_rate - 0.5), p.prompt_id))[room:]
    }
    return {p.prompt_id for p in prompts} - dropped


def _extract(prompt: Prompt, response: str) -> str:
    return answers.extract(response, prompt.answer_type, prompt.choices)


def _right(prompt: Prompt, response: str) -> bool:
    answer = _extract(prompt, response)
    return bool(answer) and answers.agree(answer, prompt.reference, prompt.answer_type, prompt.choices)
