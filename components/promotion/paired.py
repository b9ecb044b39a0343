"""Two models' answers to the same items: read from predictions, matched item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.core.answers import normalise
from components.core.data.dataset import Dataset
from components.core.stage.errors import DataError
from components.promotion.scores import Scores


class Answer(NamedTuple):
    """One model's greedy answer to one unit: an item, or all rotations of a circular one."""

    group: str
    """The picture it is about: the cluster."""
    score: float
    said: str
    """yes, no or empty, of a probe."""


Key = tuple[str, str]


@dataclass(frozen=True)
class PairedScores:
    """Scores (or 0/1 events) of two models on the same units, in the same order."""

    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    groups: Sequence[str]


@dataclass(frozen=True)
class PairedProbes:
    """Two models' answers to the same yes/no probes, shape (n,) each."""

    before_yes: npt.NDArray[np.bool_]
    after_yes: npt.NDArray[np.bool_]
    truth_yes: npt.NDArray[np.bool_]
    groups: Sequence[str]


@dataclass(frozen=True)
class ReferenceComparison:
    """The final model beside one reference; None where the two have no units of that role in common."""

    reference: str
    """base or incumbent."""
    label: str
    """What it is called in texts: base, or version 3."""
    domain: PairedScores | None = None
    general: PairedScores | None = None
    absent: PairedScores | None = None
    """Probes about absent things: 1 where the model affirmed."""
    probes: PairedProbes | None = None
    """All probes, if both truths occur."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Role -> why it has no units in common."""


def read_answers(dataset: Dataset, scores: Scores) -> dict[Key, Answer]:
    """Greedy answers by (benchmark, unit).

    Raises:
        DataError: they are another model's, or of a benchmark that the scores do not know.
    """
    answers: dict[Key, Answer] = {}
    sources = {source.name: source for source in scores.sources}
    columns = ("benchmark", "group", "image_group", "model", "sample_no", "extracted", "score")
    for row in dataset.rows_iter(columns):
        if row["sample_no"] != 0:
            continue
        if row["model"] != scores.label or row["benchmark"] not in sources:
            raise DataError(
                f"{dataset.path}: row of model '{row['model']}', benchmark '{row['benchmark']}', but the "
                f"scores are of '{scores.label}' on {', '.join(sources) or 'no benchmark'}; check the wiring"
            )
        source = sources[row["benchmark"]]
        key = (source.name, row["group"])
        said = normalise(row["extracted"], "yes_no") if source.role == "hallucination" else ""
        group = f"{source.name}\x1f{row['image_group']}"
        seen = answers.get(key)
        # A circular item is right only if every rotation is.
        score = float(row["score"]) if seen is None else min(seen.score, float(row["score"]))
        answers[key] = Answer(group, score, said)
    return answers


def compare(
    reference: str,
    label: str,
    before: tuple[Scores, Mapping[Key, Answer]],
    after: tuple[Scores, Mapping[Key, Answer]],
) -> ReferenceComparison:
    """Match two runs unit by unit, over the benchmarks that both answered in one version (equal digests)."""
    old, new = ({source.name: source for source in scores.sources} for scores, _ in (before, after))
    common = {name for name, source in new.items() if name in old and old[name].digest == source.digest}
    matched: dict[str, list[tuple[Answer, Answer]]] = {"domain": [], "general": [], "hallucination": []}
    for key in sorted(after[1]):
        if key[0] in common and key in before[1]:
            matched.setdefault(new[key[0]].role, []).append((before[1][key], after[1][key]))
    asked = {source.role for source in new.values()}
    other = f"{label} answered another version of the benchmark"
    notes = {role: other if role in asked else "no benchmark" for role, pairs in matched.items() if not pairs}
    domain, general = (
        _paired([(b.score, a.score, a.group) for b, a in matched[role]]) for role in ("domain", "general")
    )
    absent, probes = _probes(matched["hallucination"])
    return ReferenceComparison(reference, label, domain, general, absent, probes, notes)


def _paired(rows: Sequence[tuple[float, float, str]]) -> PairedScores | None:
    if not rows:
        return None
    before, after, groups = zip(*rows, strict=True)
    return PairedScores(np.array(before, dtype=np.float64), np.array(after, dtype=np.float64), list(groups))


def _probes(answered: Sequence[tuple[Answer, Answer]]) -> tuple[PairedScores | None, PairedProbes | None]:
    """PairedScores of the absent probes, and of all probes if both truths occur.

    An answer and its score tell the truth; a probe that neither model answered is left out.
    """
    rows = [
        (before.said == "yes", after.said == "yes", truth == "yes", after.group)
        for before, after in answered
        if (truth := _truth(before) or _truth(after))
    ]
    absent = _paired([(before, after, group) for before, after, true, group in rows if not true])
    if len({true for _, _, true, _ in rows}) < 2:
        return absent, None
    said_before, said_after, truths, groups = zip(*rows, strict=True)
    return absent, PairedProbes(np.array(said_before), np.array(said_after), np.array(truths), list(groups))


def _truth(answer: Answer) -> str:
    if not answer.said or answer.score >= 0.5:
        return answer.said
    return "no" if answer.said == "yes" else "yes"
