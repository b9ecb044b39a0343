"""Whether a stage lost anything: rows in against rows kept and rejected, and which rows changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.data.dataset import Dataset
from tests.faults.endpoint import FaultyEndpoint
from tests.faults.world import DataHalf, table

Row = dict[str, Any]
ASKING = ("label_tree", "ids_scoring", "topic_matching", "qa_synthesis", "voting_filter")
# The table in which a stage's answers end, and what of a row depends on how often the model was asked.
ANSWERS = {"ids_scoring": "ids", "topic_matching": "matches", "qa_synthesis": "qa", "voting_filter": "votes"}
_COSTS = ("tokens",)


@dataclass(frozen=True)
class Account:
    """One balance: `entered` = `kept` + `rejected`."""

    what: str
    entered: int
    kept: int
    rejected: int

    @property
    def balanced(self) -> bool:
        """Nothing was lost and nothing counted twice."""
        return self.entered == self.kept + self.rejected


def balance(stage: str, inputs: Path, out: Path, metrics: dict[str, float]) -> list[Account]:
    """What a stage that has ended did with everything that went into it."""
    rejected = [] if stage == "label_tree" else table(out, stage, "rejected")
    lost = {row["id"].partition("#")[0] for row in rejected}
    if stage == "label_tree":
        asked, failed = int(metrics["branches_asked"]), int(metrics["branches_failed"])
        topics = table(out, stage, "label_tree")
        parents = {row["topic_id"] for row in topics} | {""}
        rooted = [row for row in topics if (row["parent_id"] or "") in parents]
        return [
            Account("branches", asked, asked - failed, failed),
            Account("topics", len(topics), len(rooted), 0),
        ]
    if stage == "ids_scoring":
        given = Dataset.open(inputs / "image_ingest" / "images", "images").rows
        return [Account("images", given, len(table(out, stage, "ids")), len(rejected))]
    if stage == "topic_matching":
        matched = {row["image_id"] for row in table(out, stage, "matches")}
        images = {row["image_id"] for row in table(inputs, "ids_scoring", "ids")}
        return [Account("images", len(images), len(matched), len(lost))]
    if stage == "qa_synthesis":
        images = {row["image_id"] for row in table(inputs, "ids_scoring", "ids") if row["n_qa"]}
        written = {row["image_id"] for row in table(out, stage, "qa")}
        return [Account("images", len(images), len(written), len(lost & images - written))]
    items = table(inputs, "qa_synthesis", "qa")
    votes = {(row["qa_id"], row["voter"]) for row in table(out, stage, "votes") if not row["blind"]}
    missing = {row["id"] for row in rejected if not row["id"].endswith(":blind")}
    voters = {voter for _, voter in votes}
    return [
        Account(
            "items",
            len(items),
            len(table(out, stage, "qa_kept")),
            len(table(out, stage, "qa_rejected")),
        ),
        Account("votes", len(items) * len(voters), len(votes), len(missing)),
    ]


def changed(stage: str, calm: Path, out: Path, touched: set[str], items: list[Row]) -> list[Row]:
    """Rows that differ from a calm run's or are missing, of images that met no content fault."""
    image_of = {row["qa_id"]: row["image_id"] for row in items}

    def rows(where: Path) -> list[Row]:
        return [
            {name: value for name, value in row.items() if name not in _COSTS}
            for row in table(where, stage, ANSWERS[stage])
            if (row.get("image_id") or image_of[row["qa_id"]]) not in touched and not row.get("blind")
        ]

    before, after = rows(calm), rows(out)
    return [row for row in after if row not in before] + [row for row in before if row not in after]


@dataclass(frozen=True)
class FaultRun:
    """One stage under faults."""

    stage: str
    accounts: list[Account]
    received: int
    injected: dict[str, int]
    changed: list[Row]
    metrics: dict[str, float]

    @property
    def injected_share(self) -> float:
        """Share of the requests received that met a fault."""
        return sum(self.injected.values()) / self.received


def run_under_faults(
    half: DataHalf, endpoint: FaultyEndpoint, stage: str, calm: Path, out: Path, work: Path
) -> FaultRun:
    """Run `stage` on a calm run's inputs while the endpoint misbehaves, and account for everything."""
    endpoint.reset()
    metrics = half.call(stage, calm, out, work)
    counts = endpoint.counts
    differing: list[Row] = []
    if stage in ANSWERS:
        items = table(calm, "qa_synthesis", "qa") if stage == "voting_filter" else []
        differing = changed(stage, calm, out, counts.touched, items)
    elif not metrics["branches_failed"]:
        before, after = table(calm, stage, "label_tree"), table(out, stage, "label_tree")
        differing = [row for row in after if row not in before]
    return FaultRun(
        stage, balance(stage, calm, out, metrics), counts.received, dict(counts.injected), differing, metrics
    )
