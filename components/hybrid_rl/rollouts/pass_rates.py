"""Pass rates: how often the policy answers a question rightly, before training and on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from typing import Any

from PIL import Image
from transformers import TrainerCallback

from components.core.answers import extract
from components.core.data.hashing import seed_for
from components.core.data.image_store import ImageStore
from components.core.pictures import header_size
from components.core.resume.shared_batches import SharedBatches
from components.core.vlm import Completion, generate
from components.hybrid_rl.config import Config
from components.hybrid_rl.rollouts.prompts import Prompt, prompt_id, reserved, select
from components.hybrid_rl.rollouts.sampler import PromptSampler


def measure(
    prompts: Sequence[Prompt],
    model: Any,
    processor: Any,
    store: ImageStore,
    config: Config,
    divided: SharedBatches,
    on_batch: Callable[[int], object] = lambda count: None,
) -> list[Prompt]:
    """The prompts with the policy's pass rates and, if perception is rewarded, its answers to other pictures.

    Those are a blanked one, and the one to swap with where there is one. An answer that is known stays.
    Batches are cut from the whole list and seeded by their place: resumed or not, by one process or several,
    a measurement gives the same. Questions that a judge grades are not measured: no rule reads their answers.

    Args:
        divided: shares the batches out among the processes, and keeps the measurements.
        on_batch: called with the number of prompts done.
    """
    samples = config.prompts.pass_rate_samples
    ask_others = config.weights["perception"] != 0.0 and any(p.blank_answer is None for p in prompts)
    longest, each = config.max_completion_tokens, max(1, samples)
    size = max(1, config.prompts.pass_rate_batch_size // each)
    ask = partial(generate, model, processor, max_new_tokens=longest, batch_size=size * each)

    def answer(number: int, batch: Sequence[Prompt]) -> dict[str, Any]:
        items = [(store.get(prompt.image_id), prompt.question) for prompt in batch]
        nothing: list[list[Completion]] = [[] for _ in batch]
        sampled = unseen = swapped = nothing
        by_rule = [not config.judges(prompt.answer_type) for prompt in batch]
        if samples and any(by_rule):
            seed = seed_for(config.seed, "pass_rate", number)
            asked = list(compress(items, by_rule))
            drawn = iter(ask(asked, temperature=config.temperature, num_samples=samples, seed=seed))
            sampled = [next(drawn) if measured else [] for measured in by_rule]
        if ask_others:
            unseen = ask([(blanked(picture), question) for picture, question in items])
            swaps = [(store.get(p.swap_image_id), p.question) for p in batch if p.swap_image_id]
            said = iter(ask(swaps) if swaps else ())
            swapped = [next(said) if prompt.swap_image_id else [] for prompt in batch]
        found = {}
        for prompt, completions, without, other in zip(batch, sampled, unseen, swapped, strict=True):
            right = [_right(prompt, completion.text) for completion in completions]
            found[prompt.prompt_id] = {
                "pass_rate": sum(right) / len(right) if right else -1.0,
                "start_tokens": prompt.start_tokens or _mean_tokens(completions),
                "blank_answer": _extract(prompt, without[0].text) if without else prompt.blank_answer,
                "swapped_answer": _extract(prompt, other[0].text) if other else prompt.swapped_answer,
            }
        return found

    batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    measured = divided.answers(batches, prompt_id, answer, on_batch)
    return [replace(prompt, **measured[prompt.prompt_id]) for prompt in prompts]


def blanked(picture: bytes) -> Image.Image:
    """A grey picture of the same size."""
    return Image.new("RGB", header_size(picture), (127, 127, 127))


def _extract(prompt: Prompt, response: str) -> str:
    return extract(response, prompt.answer_type, prompt.choices, prompt.question)


def _mean_tokens(completions: Sequence[Completion]) -> float:
    return sum(c.tokens for c in completions) / len(completions) if completions else 0.0


def _right(prompt: Prompt, response: str) -> bool:
    answer = _extract(prompt, response)
    return bool(answer) and prompt.agrees(answer)


class RefreshPassRates(TrainerCallback):
    """Measures the present policy's pass rates every so many steps, before the step's checkpoint is saved.

    Questions that the policy by now always or never solves are closed (`select`). The data loader has fetched
    one draw ahead; the draws after it follow the new rates.

    `every` counts steps; 0 never measures. `measure` gives the prompts their rates after a step. At least
    `at_least` questions stay open.
    """

    def __init__(
        self,
        sampler: PromptSampler,
        prompts: Sequence[Prompt],
        every: int,
        measure: Callable[[int, Sequence[Prompt]], Sequence[Prompt]],
        at_least: int = 1,
    ) -> None:
        self.sampler, self.prompts, self.every = sampler, list(prompts), every
        self.measure, self.at_least = measure, at_least

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure, where it is time."""
        if self.every and state.global_step % self.every == 0 and state.global_step < state.max_steps:
            rated = self.measure(state.global_step, self.prompts)
            rates = {prompt.prompt_id: prompt.pass_rate for prompt in rated}
            # However few they are, a run that is under way goes on with the nearest.
            fill = self.sampler.settings.model_copy(update={"on_too_few": "fill"})
            kept = [prompt.prompt_id for prompt in select(rated, fill, self.at_least)]
            hardness = [prompt.hardness for prompt in rated]
            self.sampler.refresh(rates, hardness, kept, reserved(rated, fill))
