"""Questions to train on: drawn from the kept training questions, and chosen by the policy's pass rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Any

from components.core.answers import Question
from components.core.answers.comparison import answer_kind
from components.core.data.hashing import seed_for
from components.core.stats.even_draw import draw_evenly
from components.core.vlm import format_question
from components.hybrid_rl.settings import Prompts

prompt_id = attrgetter("prompt_id")


@dataclass(frozen=True, kw_only=True)
class Prompt(Question):
    """One question to train on. `question` is the text as the model sees it, with the choices."""

    prompt_id: str
    image_id: str
    difficulty: float
    """1 - agreement of the voters."""
    pass_rate: float = -1.0
    """Share of the policy's answers that were right; -1 when not measured."""
    start_tokens: float = 0.0
    """Mean length of the starting policy's answers, end tokens included; 0 when not measured."""
    blank_answer: str | None = None
    """The starting policy's answer to a blanked image; None when not asked."""
    swap_image_id: str = ""
    """Another picture to ask the question about, "" for none."""
    swapped_answer: str | None = None
    """The starting policy's answer to that one; None when not asked."""
    probe: bool = False
    """Asks whether a thing is there."""

    def row(self) -> dict[str, Any]:
        """As a row of the training set."""
        row = asdict(self) | {"reference": self.reference, "choices": list(self.choices)}
        del row["answers"]
        return row

    @property
    def hardness(self) -> float:
        """Order of the curriculum: by measured failure, then by the voters' disagreement."""
        return self.difficulty if self.pass_rate < 0 else 0.9 * (1.0 - self.pass_rate) + 0.1 * self.difficulty


def candidates(
    rows: Iterable[dict[str, Any]], limit: int, seed: int, answer_types: Collection[str] | None = None
) -> list[Prompt]:
    """At most `limit` questions of the training split, drawn as evenly over kinds of answer as they last.

    Args:
        rows: of table qa_kept. The same rows in another order give the same questions.
        answer_types: types to draw from; None for all.

    Returns:
        Ordered by prompt id.
    """
    found = []
    for row in rows:
        wanted = answer_types is None or row["answer_type"] in answer_types
        if not (wanted and row["split"] == "train" and row["answer"].strip()):
            continue
        choices = tuple(row["choices"] or ())
        found.append(
            Prompt(
                prompt_id=row["qa_id"],
                image_id=row["image_id"],
                question=format_question(row["question"], choices),
                answers=(row["answer"],),
                answer_type=row["answer_type"],
                choices=choices,
                difficulty=float(row["difficulty"]),
                probe=row["answer_type"] == "yes_no" and "existence" in (row.get("skills") or ()),
            )
        )
    chosen = draw_evenly(found, limit, kind=_kind, key=prompt_id, seed=(seed, "candidates"))
    return sorted(chosen, key=prompt_id)


def select(prompts: Sequence[Prompt], settings: Prompts, at_least: int) -> list[Prompt]:
    """Prompts whose pass rate lies strictly inside the kept range, in their order.

    A prompt that is always or never solved has a group without variance: it costs rollouts and teaches
    nothing. When fewer than `at_least` remain and the settings say `fill`, those nearest to the range join,
    hardest last. Of yes/no prompts as many ask for "no" as for "yes". A policy that says one of them too
    readily fails at the other only, and the range alone would leave those.
    """
    low, high = settings.min_pass_rate, settings.max_pass_rate
    kept = _balanced([p for p in prompts if p.pass_rate < 0 or low < p.pass_rate < high])
    if len(kept) < at_least and settings.on_too_few == "fill":
        rest = [p for p in prompts if p.prompt_id not in kept]
        far = {p.prompt_id: max(low - p.pass_rate, p.pass_rate - high) for p in rest}
        rest.sort(key=lambda p: (far[p.prompt_id], -p.pass_rate, p.difficulty, p.prompt_id))
        kept |= {p.prompt_id for p in rest[: at_least - len(kept)]}
    return [p for p in prompts if p.prompt_id in kept]


def with_swaps(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts, each with another prompt's picture, drawn by its id: whatever their order, the same.

    Best is a picture about which the same words are asked and the voters answered otherwise: who looks has to
    answer otherwise there. Where there is none, any picture of which the same kind of answer is asked.
    """
    same: dict[str, list[Prompt]] = defaultdict(list)
    alike: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in sorted(prompts, key=prompt_id):
        same[prompt.question.casefold()].append(prompt)
        alike[prompt.answer_type].append(prompt)

    def picture(prompt: Prompt) -> str:
        twins = same[prompt.question.casefold()]
        others = [p for p in twins if p.image_id != prompt.image_id and not prompt.agrees(p.reference)]
        others = others or [p for p in alike[prompt.answer_type] if p.image_id != prompt.image_id]
        return others[seed_for("swap", prompt.prompt_id) % len(others)].image_id if others else ""

    return [replace(prompt, swap_image_id=picture(prompt)) for prompt in prompts]


def reserved(prompts: Sequence[Prompt], settings: Prompts) -> list[tuple[float, list[str]]]:
    """The parts of every draw that are kept for some questions: (share of the draw, ids).

    Hard questions are those that the policy answered rightly at least once, and in less than `hard_below`.
    There a group has many wrong answers and few right ones, which is what pass@k rewards. Of the probes, half
    have "no" for an answer (the thing is absent) and half "yes".
    """
    hard = [p.prompt_id for p in prompts if 0 < p.pass_rate < settings.hard_below]
    absent, present = (
        [p.prompt_id for p in prompts if p.probe and _kind(p) == f"yes_no {said}"] for said in ("no", "yes")
    )
    half = settings.probe_share / 2
    parts = [(settings.hard_share, hard), (half, absent), (half, present)]
    return [(share, ids) for share, ids in parts if share]


def _balanced(prompts: Sequence[Prompt]) -> set[str]:
    """Ids without the yes/no prompts that have no counterpart; the surest and the most hopeless go first."""
    undecided = sorted(prompts, key=lambda p: (abs(p.pass_rate - 0.5), p.prompt_id))
    polar = [[p.prompt_id for p in undecided if _kind(p) == f"yes_no {said}"] for said in ("yes", "no")]
    room = min(map(len, polar))
    return {p.prompt_id for p in prompts}.difference(*(own[room:] for own in polar))


def _kind(prompt: Prompt) -> str:
    return answer_kind(prompt.answer_type, prompt.reference)
