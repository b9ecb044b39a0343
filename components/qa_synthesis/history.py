"""The history of an item, as its row's `history` column keeps it: written by the rounds, read back here.

A list, oldest first. One entry for each evolution round:

    {"round": 1, "direction": "reasoning", "verdict": "kept", "score": 8, "reason": "...", "form": "",
     "judge_prompt_hash": "...", "replaced": <the version before>}

`replaced` where the new version took over, else `eliminated` with the version that did not (the draft as the model wrote
it where it was malformed, null where the model wrote none). One entry more where reasoning paths were sampled:

    {"reasoning": "sampled" | "no_correct_path", "sampled": 4, "correct": 3, "malformed": 0, "missing": 0,
     "answers": {"40": 1}, "paths": [<other correct reasoning, shortest first>], "replaced": <reasoning before>, "prompt_hash": "..."}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.qa_synthesis.items import Item
from components.qa_synthesis.schemas import EvolvedItem

_OWN = ("qa_id", "question", "answer", "answer_type", "choices", "objects", "skills", "round", "parent_id")


def evolution_entry(
    round_no: int,
    direction: str,
    verdict: str,
    score: int,
    reason: str,
    judge_prompt_hash: str,
    *,
    replaced: Item | None = None,
    eliminated: Item | EvolvedItem | None = None,
    form: str = "",
) -> dict[str, Any]:
    """One round of one item; give the version that lost, as `replaced` (the parent) or `eliminated` (the child)."""
    entry: dict[str, Any] = {
        "round": round_no,
        "direction": direction,
        "verdict": verdict,
        "score": score,
        "reason": reason,
        "form": form,
        "judge_prompt_hash": judge_prompt_hash,
    }
    if replaced is not None:
        return {**entry, "replaced": replaced.version()}
    if isinstance(eliminated, EvolvedItem):
        return {**entry, "eliminated": eliminated.model_dump(exclude={"index"})}
    return {**entry, "eliminated": eliminated.version() if eliminated else None}


def evolution(history: list[dict[str, Any]] | tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    """The entries of evolution rounds."""
    return (entry for entry in history if "direction" in entry)


def reasoning(history: list[dict[str, Any]] | tuple[dict[str, Any], ...]) -> dict[str, Any] | None:
    """The entry of sampled reasoning paths, None where none were sampled."""
    return next((entry for entry in history if "reasoning" in entry), None)


def lineage(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The version of an item after each round, the first draft included.

    Args:
        row: a row of table `qa`.

    Returns:
        One version for round 0 and one for each round in the history, oldest first; the last is the row's own. Where an
        evolution was eliminated, the version before stands again.
    """
    history = json.loads(row["history"])
    sampled = reasoning(history)
    rounds = list(evolution(history))
    won = [entry["form"] for entry in rounds if entry["verdict"] == "kept"]
    latest = {
        **{name: row[name] for name in _OWN},
        "reasoning": sampled["replaced"] if sampled else row["reasoning"],
        "form": won[-1] if won else "",
        "prompt_hash": row["prompt_hash"],
    }
    versions = [latest]
    for entry in reversed(rounds):
        latest = entry["replaced"] if entry["verdict"] == "kept" else latest
        versions.append(latest)
    return versions[::-1]
