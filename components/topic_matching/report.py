"""The stage's report: how far the images cover the topics and the topics the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.core.report import Report, figure_axes
from components.topic_matching.topics import Topics

MAX_BARS = 25


@dataclass(frozen=True)
class Example:
    """A picture and what is said below it."""

    image: bytes
    caption: str


def write_report(
    report: Report,
    topics: Topics,
    counts: Mapping[str, float],
    rejected: Mapping[str, int],
    per_topic: Mapping[int, int],
    examples: Sequence[Example],
) -> None:
    """Fill `report`. `per_topic` maps a topic's index to its number of images."""
    report.heading("Images")
    report.text("images = matched + without a topic + rejected")
    report.table(
        [
            {
                "images": int(counts["images"]),
                "matched": int(counts["images_matched"]),
                "without a topic": int(counts["images_without_topic"]),
                **{f"rejected: {reason}": count for reason, count in sorted(rejected.items())},
            }
        ]
    )
    report.heading("Coverage of the topics")
    leaves = topics.leaves()
    rows = []
    for root in dict.fromkeys((topics.dimensions[leaf], topics.paths[leaf][0]) for leaf in leaves):
        own = [leaf for leaf in leaves if (topics.dimensions[leaf], topics.paths[leaf][0]) == root]
        rows.append(
            {
                "dimension": root[0],
                "first level": root[1],
                "topics": len(own),
                "with images": sum(leaf in per_topic for leaf in own),
                "matches": sum(per_topic.get(leaf, 0) for leaf in own),
            }
        )
    report.table(rows)
    _bars(report, topics, per_topic)
    empty = [" > ".join(topics.paths[leaf]) for leaf in leaves if leaf not in per_topic]
    inner = Report("topics without images")
    for path in empty:
        inner.text(path)
    report.details(f"Topics without images: {len(empty)}", inner)
    report.heading("Examples")
    report.images([(example.image, example.caption) for example in examples])


def _bars(report: Report, topics: Topics, per_topic: Mapping[int, int]) -> None:
    most = sorted(per_topic, key=lambda leaf: (-per_topic[leaf], leaf))[:MAX_BARS]
    if not most:
        return
    figure, axes = figure_axes(height=0.6 + 0.24 * len(most))
    # By position: leaves of the same name under different first levels are different bars.
    axes.barh(range(len(most)), [per_topic[leaf] for leaf in most], color="#1f5fa8")
    axes.set_yticks(range(len(most)), [" > ".join(topics.paths[leaf][1:]) for leaf in most])
    axes.invert_yaxis()
    axes.set_xlabel("images")
    report.figure(figure, f"The topics with most images ({len(most)} of {len(per_topic)} with any).")
