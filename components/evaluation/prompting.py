"""What a model is asked: one template a kind, and where the pictures stand among the words."""

from __future__ import annotations

from collections.abc import Sequence

from components.core.data.hashing import canonical_json, sha256_hex
from components.core.mllm.prompts import render
from components.core.vlm.messages import format_question, split_at_images
from components.evaluation.items import Item
from components.evaluation.scoring.registry import template_of


def prompt_for(item: Item, style: str) -> str:
    """The prompt of an item; placeholders ``<image n>`` stay where the question has them.

    Args:
        item: what is asked.
        style: plain writes hint, question and options as in training; instructed fills the template of the item's kind.
    """
    hint = f"Hint: {item.hint}\n" if item.hint else ""
    if style == "plain":
        return hint + format_question(item.question, item.choices)
    return _filled(item, hint)[0]


def _filled(item: Item, hint: str) -> tuple[str, str]:
    """The filled template and the hash of its source."""
    return render(
        __file__,
        template_of(item),
        question=hint + format_question(item.question, item.choices),
        answer_type=item.answer_type,
        form=item.form,
        precision=item.precision,
        unit=item.unit,
    )


def content_parts(prompt: str, pictures: int) -> list[int | str]:
    """A prompt's content in order: numbers of pictures from 0, and texts between them.

    Pictures that no placeholder names come first, in order, as for a prompt without placeholders. A picture named twice is
    shown where it is named first and called by its name after that.
    """
    parts = split_at_images(prompt, pictures)
    return [*(n for n in range(pictures) if n not in parts), *parts]


def prompts_hash(prompts: Sequence[str]) -> str:
    """Sixteen hex digits over all prompts in order."""
    return sha256_hex(canonical_json(list(prompts)))[:16]


def template_hashes(items: Sequence[Item]) -> dict[str, str]:
    """Hash of the source of each template that the items' kinds use, by file name."""
    firsts: dict[str, Item] = {}
    for item in items:
        firsts.setdefault(template_of(item), item)
    return {name: _filled(firsts[name], "")[1] for name in sorted(firsts)}
