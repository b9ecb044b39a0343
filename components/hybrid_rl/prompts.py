"""Which questions are worth training on: the kept training questions that the policy neither always nor never solves."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from PIL import Image

from components.core import answers
from components.core.config import rng_for, seed_for
from components.core.image_store import ImageStore
from components.core.vlm import Completion, format_question, generate
from components.core.work import Journal

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
    """At most `limit` questions of the training split, drawn as evenly over answer types as they last.

    "yes" and "no" count as types of their own: rewarded on questions that mostly have one of them as the answer, a
    policy learns to give it always, which is how hallucination comes back.

    Args:
        rows: of table qa_kept.
        limit: most questions returned.
        seed: of the draw. The same rows in another order give the same questions.
        answer_types: types to draw from; None for all.

    Returns:
        Ordered by prompt id.
    """
    by_type: dict[str, list[Prompt]] = {}
    for row in rows:
        if row["split"] != "train" or not row["answer"].strip():
            continue
        if answer_types is not None and row["answer_type"] not in answer_types:
            continue
        choices = tuple(row["choices"] or ())
        prompt = Prompt(
            prompt_id=row["qa_id"],
            image_id=row["image_id"],
            question=format_question(row["question"], choices),
            reference=row["answer"],
            answer_type=row["answer_type"],
            choices=choices,
            difficulty=float(row["difficulty"]),
        )
        by_type.setdefault(_stratum(prompt), []).append(prompt)
    shuffled = []
    for answer_type in sorted(by_type):
        prompts = sorted(by_type[answer_type], key=lambda p: p.prompt_id)
        order = rng_for(seed, "candidates", answer_type).permutation(len(prompts))
        shuffled.append([prompts[i] for i in order])
    chosen: list[Prompt] = []
    for rank in range(max((len(prompts) for prompts in shuffled), default=0)):
        chosen += [prompts[rank] for prompts in shuffled if rank < len(prompts)]
    return sorted(chosen[:limit], key=lambda p: p.prompt_id)


def _stratum(prompt: Prompt) -> str:
    if prompt.answer_type != "yes_no":
        return prompt.answer_type
    return f"yes_no {answers.normalise(prompt.reference, 'yes_no', ())}"


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
    journal: Journal,
    on_batch: Callable[[int], object],
) -> list[Prompt]:
    """The prompts with the policy's pass rate and, if perception is rewarded and it is not known, its answer to the blanked image.

    Batches are cut from the whole list and seeded by their place, so that a resumed measurement gives what an
    uninterrupted one would; measured prompts are kept in `journal`.

    Args:
        on_batch: called with the number of prompts done.
    """
    settings = config.prompts
    samples = settings.pass_rate_samples
    ask_blank = config.weights.perception != 0.0 and any(prompt.blank_answer is None for prompt in prompts)
    size = max(1, settings.pass_rate_batch_size // max(1, samples))
    for number, start in enumerate(range(0, len(prompts), size)):
        batch = prompts[start : start + size]
        if not all(prompt.prompt_id in journal for prompt in batch):
            items = [(store.get(prompt.image_id), prompt.question) for prompt in batch]
            ask = partial(
                generate,
                model,
                processor,
                max_new_tokens=config.max_completion_tokens,
                batch_size=size * max(1, samples),
            )
            sampled: list[list[Completion]] = [[] for _ in batch]
            unseen: list[list[Completion]] = [[] for _ in batch]
            if samples:
                seed = seed_for(config.seed, "pass_rate", number)
                sampled = ask(items, temperature=config.temperature, num_samples=samples, seed=seed)
            if ask_blank:
                unseen = ask([(blanked(picture), question) for picture, question in items])
            for prompt, completions, without in zip(batch, sampled, unseen, strict=True):
                right = [_right(prompt, completion.text) for completion in completions]
                journal.put(
                    prompt.prompt_id,
                    {
                        "pass_rate": sum(right) / len(right) if right else -1.0,
                        "blank_answer": _extract(prompt, without[0].text) if without else prompt.blank_answer,
                    },
                )
        on_batch(len(batch))
    return [replace(prompt, **journal.get(prompt.prompt_id)) for prompt in prompts]


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
        if (own := polar.get(_stratum(prompt))) is not None:
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
