"""The stage's report: the tree as it unfolds, what was merged, how the rounds went."""

from __future__ import annotations

from components.core.report import Report
from components.label_tree.expand import Growth
from components.label_tree.tree import Topic

MAX_MERGES_SHOWN = 200


def write_report(report: Report, growth: Growth) -> None:
    """Fill `report` from a grown tree."""
    report.heading("Topics")
    report.table(
        [
            {
                "level": level,
                "topics": sum(t.level == level for t in growth.topics),
                "by experts": sum(t.level == level and t.origin == "expert" for t in growth.topics),
                "domain": sum(t.level == level and t.dimension == "domain" for t in growth.topics),
                "capability": sum(t.level == level and t.dimension == "capability" for t in growth.topics),
            }
            for level in (1, 2, 3)
        ]
    )
    report.heading("The tree")
    children: dict[str, list[Topic]] = {}
    for topic in growth.topics:
        children.setdefault(topic.parent_id, []).append(topic)
    for root in children[""]:
        _unfold(report, root, children)
    report.heading("Rounds")
    report.text("A branch closes when its budget is full or when too little of what it proposed was new.")
    report.table(
        [
            {
                "level": r.level,
                "round": r.round + 1,
                "branches asked": r.asked,
                "unusable answers": r.failed,
                "proposed": r.proposed,
                "new": r.new,
            }
            for r in growth.rounds
        ]
    )
    report.heading(f"Merged near-duplicates ({len(growth.merges)})")
    report.table(
        [
            {
                "dropped": " > ".join(merge.dropped.path),
                "kept": " > ".join(merge.into.path),
                "similarity": merge.similarity,
            }
            for merge in growth.merges[:MAX_MERGES_SHOWN]
        ]
    )
    if len(growth.merges) > MAX_MERGES_SHOWN:
        report.text(f"(the first {MAX_MERGES_SHOWN} of {len(growth.merges)})")


def _unfold(report: Report, topic: Topic, children: dict[str, list[Topic]]) -> None:
    below = children.get(topic.topic_id, [])
    title = topic.name if topic.origin == "model" else f"{topic.name} (expert)"
    if topic.level == 1:
        title += f" [{topic.dimension}]"
    inner = Report(topic.name)
    if topic.description:
        inner.text(topic.description)
    for child in below:
        _unfold(inner, child, children)
    report.details(f"{title}: {len(below)}" if below else title, inner)
