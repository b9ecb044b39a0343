"""Batched sampling from a vision-language model.

`GenerationMixin.generate` repeats the whole prompt, pictures included, for every returned sequence. Here a
prompt is encoded once, its key-value cache is repeated for the samples, and rows that have ended leave the
batch. Every random draw belongs to (seed, item, sample, position), so a result does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import GenerationConfig, LogitsProcessorList

from components.core.vlm.families import family_of
from components.core.vlm.family import Family
from components.core.vlm.messages import prompt_text
from components.core.vlm.processor import open_image, token_ids, vision_token_count
from components.core.vlm.tokens import banned_token_ids

Picture = bytes | Image.Image
Pictures = Picture | Sequence[Picture]
"""One picture, or several (or none) in the order in which the prompt shows them."""
Prompt = str | Sequence[Mapping[str, Any]]
"""A text that all pictures precede, a user turn's content parts, or a conversation's messages. Parts show
each picture as `{"type": "image"}`."""


@dataclass(frozen=True)
class Completion:
    """One sampled response: text, length in tokens (end token included), and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool
    ids: tuple[int, ...] = ()
    """The token ids, the end token included."""


def generate(
    model: Any,
    processor: Any,
    items: Sequence[tuple[Pictures, Prompt]],
    *,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    num_samples: int = 1,
    batch_size: int = 128,
    seed: int = 0,
    draws_of: Callable[[int], np.ndarray] | None = None,
    on_batch: Callable[[int], object] | None = None,
) -> list[list[Completion]]:
    """Answer questions about pictures.

    Args:
        model: of any supported family, in evaluation mode.
        processor: its processor (see `load_processor`).
        items: (picture or pictures, prompt) pairs; the text as `format_question` writes it.
        max_new_tokens: longest response; a longer one is cut and not ``finished``.
        temperature: 0 takes the most likely token, otherwise the softmax temperature.
        num_samples: responses an item.
        batch_size: most sequences (items × samples) decoded together.
        seed: of the sampling; equal seeds give equal responses.
        draws_of: item number -> the uniform numbers that choose its tokens, (num_samples, max_new_tokens) in
            [0, 1). Default: those of the seed and the item's place.
        on_batch: called with the number of items each batch has finished (progress).

    Returns:
        For each item, in order, its ``num_samples`` completions.
    """
    if num_samples < 1 or max_new_tokens < 1 or temperature < 0:
        raise ValueError("num_samples and max_new_tokens must be at least 1 and temperature at least 0")
    family = family_of(processor)
    suppressed = suppressed_tokens(model, processor)
    ends = end_tokens(model, processor)
    pictures = [
        [open_image(picture) for picture in ([shown] if isinstance(shown, Picture) else shown)]
        for shown, _ in items
    ]
    prompts = [
        prompt_text(processor, prompt, images=len(shown))
        for shown, (_, prompt) in zip(pictures, items, strict=True)
    ]
    # Similar lengths together: least padding. Longest first: the memory peak comes at once.
    text_lengths = [len(token_ids(processor, prompt)) for prompt in prompts]
    lengths = [
        n + sum(vision_token_count(processor, picture.height, picture.width) for picture in shown)
        for n, shown in zip(text_lengths, pictures, strict=True)
    ]
    order = sorted(range(len(items)), key=lambda i: (-lengths[i], i))
    drawn = draws_of or (lambda i: np.random.default_rng([seed, i]).random((num_samples, max_new_tokens)))
    results: list[list[Completion]] = [[] for _ in items]
    step = max(1, batch_size // num_samples)
    for start in range(0, len(order), step):
        chosen = order[start : start + step]
        draws = None
        if temperature > 0:
            draws = torch.from_numpy(np.concatenate([drawn(i) for i in chosen]))
        rows_of = chosen if family.decodes_shared else [i for i in chosen for _ in range(num_samples)]
        shown = [pictures[i] for i in rows_of]
        inputs = processor(
            text=[prompts[i] for i in rows_of],
            images=shown if any(shown) else None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(model.device)
        if family.decodes_shared:
            rows = _decode(
                model, inputs, family, num_samples, max_new_tokens, temperature, draws, suppressed, ends
            )
        else:
            rows = _plain(model, inputs, max_new_tokens, temperature, draws, suppressed, ends)
        texts = processor.tokenizer.batch_decode([ids for ids, _ in rows], skip_special_tokens=True)
        for row, ((ids, finished), text) in enumerate(zip(rows, texts, strict=True)):
            completion = Completion(text.strip(), len(ids), finished, tuple(ids))
            results[chosen[row // num_samples]].append(completion)
        if on_batch is not None:
            on_batch(len(chosen))
    return results


@torch.inference_mode()
def _decode(
    model: Any,
    inputs: Any,
    family: Family,
    num_samples: int,
    max_new_tokens: int,
    temperature: float,
    draws: torch.Tensor | None,
    suppressed: torch.Tensor,
    ends: torch.Tensor,
) -> list[tuple[list[int], bool]]:
    """Encode prompts (B rows) once, then decode B × num_samples rows; (token ids, ended) of each row."""
    mask = inputs["attention_mask"]
    positions, next_position = _positions(model, inputs, family)
    output = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
    cache, logits = output.past_key_values, output.logits[:, -1]
    if num_samples > 1:
        cache.batch_repeat_interleave(num_samples)
        logits, mask, next_position = (
            t.repeat_interleave(num_samples, 0) for t in (logits, mask, next_position)
        )
    total = logits.shape[0]
    produced = torch.zeros(total, max_new_tokens, dtype=torch.long)
    lengths = [max_new_tokens] * total
    ended = [False] * total
    active = torch.arange(total)
    for step in range(max_new_tokens):
        scores = logits.float().index_fill(1, suppressed, -torch.inf)
        if draws is None:
            tokens = scores.argmax(-1)
        else:
            tokens = _sample(scores / temperature, draws[active, step].to(scores.device))
        produced[active, step] = tokens.cpu()
        done = torch.isin(tokens, ends)
        for row in active[done.cpu()].tolist():
            lengths[row], ended[row] = step + 1, True
        if step + 1 == max_new_tokens or bool(done.all()):
            break
        if bool(done.any()):
            keep = (~done).nonzero().view(-1)
            cache.batch_select_indices(keep)
            tokens, mask, next_position = (t[keep] for t in (tokens, mask, next_position))
            active = active[keep.cpu()]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        output = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            position_ids=_at(next_position, family),
        )
        logits, next_position = output.logits[:, -1], next_position + 1
    return [(produced[row, : lengths[row]].tolist(), ended[row]) for row in range(total)]


def _positions(model: Any, inputs: Any, family: Family) -> tuple[torch.Tensor, torch.Tensor]:
    """Position ids of left-padded prompts, (3, B, T) or (B, T), and the position that follows each, (B,)."""
    mask = inputs["attention_mask"]
    if not family.multi_rotary:
        return (mask.cumsum(1) - 1).clamp(min=0), mask.sum(1)
    positions, deltas = model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        image_grid_thw=inputs.get("image_grid_thw"),
        attention_mask=mask,
    )
    return positions, mask.sum(1) + deltas.to(mask.device).view(-1)


def _at(position: torch.Tensor, family: Family) -> torch.Tensor:
    """Position ids of one token a row."""
    return position.view(1, -1, 1).expand(3, -1, 1) if family.multi_rotary else position[:, None]


def _sample(scores: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Inverse-CDF draw from softmax(scores): the first token whose cumulative probability is above it."""
    cumulative = scores.double().softmax(-1).cumsum(-1)
    threshold = draws[:, None] * cumulative[:, -1:]  # the last entry is 1 up to rounding
    return torch.searchsorted(cumulative, threshold, right=True).view(-1).clamp_(max=scores.shape[-1] - 1)


def _plain(
    model: Any,
    inputs: Any,
    max_new_tokens: int,
    temperature: float,
    draws: torch.Tensor | None,
    suppressed: torch.Tensor,
    ends: torch.Tensor,
) -> list[tuple[list[int], bool]]:
    """As `_decode`, by transformers' own `generate`; every row of `inputs` is one sample."""

    def choose(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.float().index_fill(1, suppressed, -torch.inf)
        if draws is None:
            return scores
        step = ids.shape[1] - inputs["input_ids"].shape[1]
        tokens = _sample(scores / temperature, draws[:, step].to(scores.device))
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)

    with torch.inference_mode():
        found = model.generate(
            **inputs,
            generation_config=GenerationConfig(
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=ends.tolist(),
                pad_token_id=int(ends[0]),
            ),
            logits_processor=LogitsProcessorList([choose]),
        )[:, inputs["input_ids"].shape[1] :]
    rows = []
    for ids in found.tolist():
        stop = next((place + 1 for place, token in enumerate(ids) if token in set(ends.tolist())), None)
        rows.append((ids[: stop or len(ids)], stop is not None))
    return rows


def suppressed_tokens(model: Any, processor: Any) -> torch.Tensor:
    """Ids that no response may contain: banned tokens, and rows beyond the tokenizer's vocabulary."""
    config, vocabulary = model.config, processor.tokenizer.get_vocab()
    keys = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    configured = {getattr(config, key, None) for key in keys} - {None}
    size = config.get_text_config().vocab_size
    beyond = range(max(vocabulary.values()) + 1, size)
    ids = {*banned_token_ids(processor).values(), *configured, *beyond}
    return torch.tensor(sorted(i for i in ids if i < size), device=model.device)


def end_tokens(model: Any, processor: Any) -> torch.Tensor:
    """Tokens that end a response: the tokenizer's end token and those of the generation config."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = set(configured if isinstance(configured, list) else [configured])
    end = family_of(processor).end
    ids |= {processor.tokenizer.eos_token_id, processor.tokenizer.get_vocab().get(end)}
    return torch.tensor(sorted(i for i in ids if i is not None), device=model.device)
