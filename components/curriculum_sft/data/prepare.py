"""Training rows from candidates: read, mixed, checked, and a few verified against the processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from components.core.conversations.base import BadRecord
from components.core.data.hashing import rng_for
from components.core.stage.errors import DataError
from components.core.vlm.families import family_of
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import IGNORED, ConversationCollator, Pictures
from components.curriculum_sft.data.checks import Planner, partition, variants
from components.curriculum_sft.data.mixture import capped, mix
from components.curriculum_sft.data.samples import Row, count_answers

Track = Callable[[list[Row]], Iterable[Row]]


def read_general(found: Iterable[Row | BadRecord]) -> tuple[list[Row], list[Row]]:
    """Samples, and a row of `rejected` for each unreadable record."""
    items = list(found)
    faults = [item.row() for item in items if isinstance(item, BadRecord)]
    return [item for item in items if not isinstance(item, BadRecord)], faults


def mixed_samples(
    domain: list[Row], general: Iterable[Row | BadRecord], config: Config, planner: Planner, track: Track
) -> tuple[list[Row], list[Row]]:
    """Checked samples of the mixture, and rows of `rejected`.

    Samples are chosen before they are checked, so that no more are planned than are trained on. Where some
    fail, others are chosen in their place: the shares hold for what is trained on. A choice by tokens needs
    the lengths of all candidates first.

    Raises:
        EmptySource: a source that should have a share has no sample that can be trained on.
    """
    read, rejected = read_general(general)
    draw = partial(mix, domain_share=config.domain_share, seed=config.seed, mixture=config.mixture)
    checked = _Checked([*domain, *read], planner, track, rejected)
    if config.mixture.needs_lengths:
        candidates = domain if config.domain_share > 0 else []
        limited = capped(read, config.max_general_samples, config.seed) if config.domain_share < 1 else []
        checked.check([*candidates, *limited])
        domain, read = checked.usable(candidates), checked.usable(limited)
        return checked.told(lambda: draw(domain, read)), checked.bad
    while True:
        left = partial(draw, domain, read, max_general_samples=config.max_general_samples)
        chosen = checked.told(left)
        if not checked.check(chosen):
            return checked.usable(chosen), checked.bad
        domain, read = checked.fit(domain), checked.fit(read)


class EmptySource(DataError):
    """A source of the mixture has no sample left; `rejected` are rows of that table."""

    def __init__(self, message: str, rejected: list[Row]) -> None:
        super().__init__(message)
        self.rejected = rejected


class _Checked:
    """The candidates of a mixture, each checked at most once.

    Args:
        candidates: in the order of their files.
        planner: checks a sample.
        track: shows progress.
        rejected: rows of `rejected` for records that could not be read.
    """

    def __init__(
        self, candidates: list[Row], planner: Planner, track: Track, rejected: Sequence[Row] = ()
    ) -> None:
        self._places = {id(row): place for place, row in enumerate(candidates)}
        self._planner, self._track = planner, track
        self._good: dict[int, Row] = {}
        self._unfit: set[int] = set()
        self.bad = list(rejected)
        """Rows of `rejected`."""

    def check(self, rows: list[Row]) -> bool:
        """Check the rows that are new; whether any of them cannot be trained on."""
        new = list({id(row): row for row in rows if not self._is_known(row)}.values())
        self._planner.prove(sorted(new, key=lambda row: self._places[id(row)]))
        before = len(self.bad)
        for row in self._track(new):
            good, bad = partition([row], self._planner)
            self._good |= {id(row): planned for planned in good}
            self._unfit |= {id(row)} if bad else set()
            self.bad += bad
        return len(self.bad) > before

    def _is_known(self, row: Row) -> bool:
        return id(row) in self._good or id(row) in self._unfit

    def fit(self, rows: list[Row]) -> list[Row]:
        """The rows without those that failed."""
        return [row for row in rows if id(row) not in self._unfit]

    def usable(self, rows: list[Row]) -> list[Row]:
        """The rows that passed, with their lengths."""
        return [self._good[id(row)] for row in rows if id(row) in self._good]

    def told(self, draw: Callable[[], list[Row]]) -> list[Row]:
        """The drawn samples; the error that a source is empty tells what its samples were rejected for."""
        try:
            return draw()
        except DataError as error:
            if not self.bad:
                raise
            reasons = dict(Counter(row["reason"] for row in self.bad))
            told = f"{error}; rejected: {reasons}\n  {describe(self.bad)}"
            raise EmptySource(told, self.bad) from error


def all_samples(
    domain: list[Row], general: Iterable[Row | BadRecord], config: Config, planner: Planner, track: Track
) -> tuple[list[Row], list[Row]]:
    """Checked samples of the general data and of the domain, unmixed, and rows of `rejected`."""
    read, rejected = read_general(general)
    limited = capped(read, config.max_general_samples, config.seed) if config.max_general_samples else read
    planner.prove(limited)
    rows, bad = partition([*limited, *domain], planner, track)
    return rows, rejected + bad


def settle(rows: list[Row], rejected: list[Row], config: Config) -> None:
    """Stop if nothing is left to train on, or if a sample was rejected and none may be.

    Raises:
        DataError: naming the samples.
    """
    if rejected and config.unusable_samples == "stop":
        raise DataError(
            f"{len(rejected)} samples cannot be trained on; correct or remove them, or set unusable_samples "
            f"to reject:\n  {describe(rejected)}"
        )
    if not rows:
        reasons = dict(Counter(row["reason"] for row in rejected)) or "no samples were built"
        raise DataError(f"nothing to train on: {reasons}\n  {describe(rejected)}".rstrip())


def describe(rejected: list[Row], shown: int = 5) -> str:
    """The first rejected rows in words, one a line."""
    lines = [f"{row['id']}: {row['reason']}: {row['detail']}" for row in rejected[:shown]]
    if more := len(rejected) - len(lines):
        lines.append(f"and {more} more")
    return "\n  ".join(lines)


def verify(rows: Sequence[Row], count: int, seed: int, processor: Any, pictures: Pictures) -> None:
    """Encode `count` checked rows, drawn by seed, and compare them with their plan.

    Raises:
        DataError: a picture cannot be decoded, or lengths, vision tokens or answers differ; names the sample.
    """
    collate = ConversationCollator(processor, pictures)
    for index in rng_for("verify", seed).permutation(len(rows))[:count]:
        row = rows[index]
        batches = [collate([{**row, "messages": messages}]) for messages in variants(row)]
        _same(row, "tokens", row["length"], max(batch["input_ids"].shape[1] for batch in batches))
        image_token = family_of(processor).image_token_id(processor)
        for batch, messages in zip(batches, variants(row), strict=True):
            vision = int((batch["input_ids"] == image_token).sum())
            _same(row, "vision tokens", row["vision_tokens"], vision)
            kept = batch["labels"][0] != IGNORED
            # A user's turn at least separates two answers: labels begin once for each answer.
            starts = int(kept[0]) + int((kept[1:] & ~kept[:-1]).sum())
            _same(row, "answers", count_answers({"messages": messages}), starts)
            if bool((batch["labels"] == image_token).any()):
                raise DataError(f"sample {row['sample_id']}: an answer holds vision tokens; remove the image")


def _same(row: Row, what: str, planned: int, found: int) -> None:
    if planned != found:
        raise DataError(
            f"sample {row['sample_id']}: planned {planned} {what}, the processor gives {found}; its images "
            f"({', '.join(row['image_ids']) or 'none'}) differ from what their table or header says, or the "
            "processor is another than the one that was planned with"
        )
