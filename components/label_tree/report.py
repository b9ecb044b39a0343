"""The stage's report: the tree to unfold, effects of experts' edits, rounds, refused proposals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from components.core.stage.report import Report, csv_text
from components.label_tree.edits import SEPARATOR, Edits, path_key, split_path
from components.label_tree.expand import REASONS, Growth
from components.label_tree.previous import Start
from components.label_tree.tree import Topic

MAX_ROWS_SHOWN = 200


def write_report(
    report: Report, growth: Growth, start: Start, edits: Edits, alike: Sequence[tuple[Topic, Topic, float]]
) -> None:
    """Fill `report` from a grown tree; `alike` as `previous.lookalikes` gives it."""
    report.heading("Topics")
    report.table([_level_row(growth, start, level) for level in (1, 2, 3)])
    report.heading("The tree")
    children: dict[str, list[Topic]] = {}
    for topic in growth.topics:
        children.setdefault(topic.parent_id, []).append(topic)
    for root in children[""]:
        _unfold(report, root, children)
    if start.earlier or start.left:
        _previous(report, start, alike)
    if edits.sources:
        _edits(report, growth, edits)
    report.heading("Rounds")
    report.text("A branch closes when its budget is full or when too little of what it proposed was new.")
    columns = ("level", "round", "branches asked", "unusable answers", "proposed", "new")
    rows = [(r.level, r.round + 1, r.asked, r.failed, r.proposed, r.new) for r in growth.rounds]
    report.table([dict(zip(columns, row, strict=True)) for row in rows])
    _refused(report, growth)


def _level_row(growth: Growth, start: Start, level: int) -> dict[str, int]:
    topics = [topic for topic in growth.topics if topic.level == level]
    parents = {topic.parent_id for topic in growth.topics}
    return {
        "level": level,
        "topics": len(topics),
        "by experts": sum(topic.origin == "expert" for topic in topics),
        "domain": sum(topic.dimension == "domain" for topic in topics),
        "capability": sum(topic.dimension == "capability" for topic in topics),
        "from the previous tree": sum(topic.topic_id in start.earlier for topic in topics),
        "without children": sum(topic.topic_id not in parents for topic in topics) if level < 3 else 0,
    }


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


def _previous(report: Report, start: Start, alike: Sequence[tuple[Topic, Topic, float]]) -> None:
    report.heading("The previous tree")
    report.text(
        f"{len(start.earlier)} of its topics are in this tree, {len(start.left)} are not; "
        f"{len(start.earlier) - len(start.settled)} were asked for more children."
    )
    gone = [{"topic": left.topic.full_name, "reason": left.reason} for left in start.left]
    _list(report, "topics left behind", gone)
    if alike:
        kept = "Both are kept; an edit removes one."
        report.text(f"New expert topics that resemble a topic of the previous tree. {kept}")
        rows = [
            {"expert": new.full_name, "previous": old.full_name, "cosine": round(cosine, 4)}
            for new, old, cosine in alike
        ]
        _list(report, "lookalikes", rows)


def _edits(report: Report, growth: Growth, edits: Edits) -> None:
    report.heading("Experts' edits")
    present = {path_key(topic.path) for topic in growth.topics}
    rows = []
    for key, edit in sorted(edits.sources.items()):
        now = "remove" if edit.remove else SEPARATOR.join(edits.new_path(split_path(edit.path)))
        found = path_key(edits.new_path(key)) in present
        rows.append({"topic": edit.path, "now": now, "in the tree": "yes" if found else "no"})
    report.table(rows)


def _refused(report: Report, growth: Growth) -> None:
    report.heading(f"Proposals that are no topics ({len(growth.refused)})")
    count = Counter(refused.reason for refused in growth.refused)
    report.table([{"reason": reason, "proposals": count[reason]} for reason in REASONS])
    rows = [
        {
            "proposed": SEPARATOR.join((*refused.parent.path, refused.name)),
            "reason": refused.reason,
            "taken for": refused.into.full_name if refused.into else "",
            "cosine": round(refused.similarity, 4) if refused.into else "",
        }
        for refused in growth.refused
    ]
    _list(report, "refused proposals", rows)


def _list(report: Report, title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """The first rows as a table, all of them to download; nothing without rows."""
    if not rows:
        return
    report.table(rows[:MAX_ROWS_SHOWN])
    if len(rows) > MAX_ROWS_SHOWN:
        report.text(f"(the first {MAX_ROWS_SHOWN} of {len(rows)})")
    report.download(f"All {len(rows)} {title} (CSV)", f"{title.replace(' ', '_')}.csv", csv_text(rows))
