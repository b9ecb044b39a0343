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

_COLUMNS = ("benchmark", "group", "image_group", "model", "sample_no", "extracted", "score")
_RIGHT = 0.5


class Answer(NamedTuple):
    """One model's greedy answer to one unit: an item, or all rotations of a circular one."""

    group: str
    """The picture it is about: the cluster."""
    score: float
    said: str
    """yes, no or empty, of a probe."""


Key = tuple[str, str]


@dataclass(frozen=True)
class Pairs:
    """Scores (or 0/1 events) of two models on the same units, in the same order."""

    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    groups: Sequence[str]

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True)
class ProbePairs:
    """Two models' answers to the same yes/no probes, shape (n,) each."""

    before_yes: npt.NDArray[np.bool_]
    after_yes: npt.NDArray[np.bool_]
    truth_yes: npt.NDArray[np.bool_]
    groups: Sequence[str]


@dataclass(frozen=True)
class Comparison:
    """The final model beside one reference; None where the two have no units of that role in common."""

    reference: str
    """base or incumbent."""
    label: str
    """What it is called in texts: base, or version 3."""
    domain: Pairs | None = None
    general: Pairs | None = None
    absent: Pairs | None = None
    """Probes about absent things: 1 where the model affirmed."""
    probes: ProbePairs | None = None
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
    for row in dataset.rows_iter(columns=_COLUMNS):
        if row["sample_no"] != 0:
            continue
        if row["model"] != scores.label or row["benchmark"] not in sources:
            raise DataError(
                f"{dataset.path}: row of model '{row['model']}', benchmark '{row['benchmark']}', but the scores are of "
                f"'{scores.label}' on {', '.join(sources) or 'no benchmark'}; check the wiring"
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
) -> Comparison:
    """Match two runs unit by unit, over the benchmarks that both answered in the same version (equal digests)."""
    old, new = ({source.name: source for source in scores.sources} for scores, _ in (before, after))
    common = {name for name, source in new.items() if name in old and old[name].digest == source.digest}
    keys = sorted(key for key in after[1] if key[0] in common and key in before[1])
    by_role: dict[str, list[Key]] = {}
    for key in keys:
        by_role.setdefault(new[key[0]].role, []).append(key)

    def pairs(role: str) -> Pairs | None:
        chosen = by_role.get(role)
        if not chosen:
            return None
        return _pairs([before[1][k].score for k in chosen], [after[1][k] for k in chosen])

    notes = {}
    for role in ("domain", "general", "hallucination"):
        if role not in by_role:
            asked = any(source.role == role for source in new.values())
            notes[role] = f"{label} answered another version of the benchmark" if asked else "no benchmark"
    absent, probes = _probes(
        [(before[1][key], after[1][key]) for key in by_role.get("hallucination", [])],
    )
    return Comparison(reference, label, pairs("domain"), pairs("general"), absent, probes, notes)


def _pairs(before: Sequence[float], after: Sequence[Answer]) -> Pairs:
    return Pairs(
        np.array(before, dtype=np.float64),
        np.array([answer.score for answer in after], dtype=np.float64),
        [answer.group for answer in after],
    )


def _probes(answered: Sequence[tuple[Answer, Answer]]) -> tuple[Pairs | None, ProbePairs | None]:
    """Pairs of the absent probes, and of all probes. What is true follows from an answer and its score; a probe that
    neither model answered by yes or no tells nothing about either and is left out."""
    rows = [
        (old, new, truth)
        for old, new in answered
        if (truth := _truth(old) or _truth(new)) and (old.said or new.said)
    ]
    absent = [(old, new) for old, new, truth in rows if truth == "no"]
    found = None
    if absent:
        found = Pairs(
            np.array([old.said == "yes" for old, _ in absent], dtype=np.float64),
            np.array([new.said == "yes" for _, new in absent], dtype=np.float64),
            [new.group for _, new in absent],
        )
    if not absent or len(absent) == len(rows):
        return found, None
    return found, ProbePairs(
        np.array([old.said == "yes" for old, _, _ in rows]),
        np.array([new.said == "yes" for _, new, _ in rows]),
        np.array([truth == "yes" for _, _, truth in rows]),
        [new.group for _, new, _ in rows],
    )


def _truth(answer: Answer) -> str:
    if not answer.said:
        return ""
    if answer.score >= _RIGHT:
        return answer.said
    return "no" if answer.said == "yes" else "yes"
