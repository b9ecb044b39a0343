"""The stage's report: how far the images cover the topics and the topics the images."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.core.stage.report import Report, figure_axes
from components.topic_matching.coverage import Coverage
from components.topic_matching.topics import Topics

MAX_BARS = 25
MAX_ROWS_SHOWN = 200
MAX_IMAGES_LISTED = 20_000
_PATH = " > "


@dataclass(frozen=True)
class Example:
    """A picture and what is said below it."""

    image: bytes
    caption: str


@dataclass(frozen=True)
class Unmatched:
    """An image without a topic, and why."""

    image_id: str
    reason: str
    detail: str


def write_report(
    report: Report,
    topics: Topics,
    coverage: Coverage,
    topics_per_image: Mapping[int, int],
    reasons: Mapping[str, int],
    unmatched: Sequence[Unmatched],
    examples: Sequence[Example],
) -> None:
    """Fill `report`.

    Args:
        topics: the label tree.
        coverage: what was counted over all images.
        topics_per_image: number of topics -> images with so many; 0 is not among them.
        reasons: reason -> images without a topic for it.
        unmatched: the first of those images.
        examples: pictures to show.
    """
    _images(report, topics_per_image, reasons, unmatched)
    report.heading("Coverage of the topics")
    report.table(_first_level(topics, coverage))
    inner = Report("second level")
    inner.table(_second_level(topics, coverage))
    report.details("By second-level topic", inner)
    _bars(report, topics, coverage)
    _without_images(report, topics, coverage)
    report.heading("Examples")
    report.images([(example.image, example.caption) for example in examples])


def _images(
    report: Report,
    topics_per_image: Mapping[int, int],
    reasons: Mapping[str, int],
    unmatched: Sequence[Unmatched],
) -> None:
    matched, without = sum(topics_per_image.values()), sum(reasons.values())
    report.heading("Images")
    report.table([{"images": matched + without, "with a topic": matched, "without (rejected)": without}])
    report.table(
        [
            {"topics": number, "images with so many": count}
            for number, count in sorted(topics_per_image.items())
        ]
    )
    report.heading(f"Images without a topic ({without})")
    report.table([{"reason": reason, "images": count} for reason, count in sorted(reasons.items())])
    if unmatched:
        rows = [[image.image_id, image.reason, image.detail] for image in unmatched]
        label = (
            f"Images without a topic (CSV, {len(unmatched)} of {without}; all are in the output `rejected`)"
        )
        report.download(label, "images_without_topic.csv", _csv(["image_id", "reason", "detail"], rows))


def _first_level(topics: Topics, coverage: Coverage) -> list[dict[str, object]]:
    leaves: dict[int, list[int]] = {}
    for leaf in topics.leaves:
        leaves.setdefault(topics.line(leaf)[-1], []).append(leaf)
    return [
        {
            "dimension": topics.dimensions[root],
            "first level": topics.paths[root][0],
            **_counts(coverage, root, leaves.get(root, [])),
        }
        for root, path in enumerate(topics.paths)
        if len(path) == 1
    ]


def _second_level(topics: Topics, coverage: Coverage) -> list[dict[str, object]]:
    leaves: dict[int, list[int]] = {}
    for leaf in topics.leaves:
        leaves.setdefault(topics.branch(leaf), []).append(leaf)
    return [
        {
            "dimension": topics.dimensions[branch],
            "second level": _PATH.join(topics.paths[branch]),
            **_counts(coverage, branch, below),
        }
        for branch, below in leaves.items()
    ]


def _counts(coverage: Coverage, topic: int, leaves: Sequence[int]) -> dict[str, object]:
    return {
        "topics": len(leaves),
        "with images": int((coverage.images[leaves] > 0).sum()) if leaves else 0,
        "images": int(coverage.images[topic]),
        "matches": int(coverage.matches[topic]),
    }


def _bars(report: Report, topics: Topics, coverage: Coverage) -> None:
    counted = [leaf for leaf in topics.leaves if coverage.images[leaf]]
    most = sorted(counted, key=lambda leaf: (-coverage.images[leaf], leaf))[:MAX_BARS]
    if not most:
        return
    figure, axes = figure_axes(height=0.6 + 0.24 * len(most))
    # By position: leaves of the same name under different first levels are different bars.
    axes.barh(range(len(most)), [int(coverage.images[leaf]) for leaf in most], color="#1f5fa8")
    axes.set_yticks(range(len(most)), [_PATH.join(topics.paths[leaf][1:]) for leaf in most])
    axes.invert_yaxis()
    axes.set_xlabel("images")
    report.figure(figure, f"The topics with most images ({len(most)} of {len(counted)} with any).")


def _without_images(report: Report, topics: Topics, coverage: Coverage) -> None:
    empty = coverage.without_images()
    report.heading(f"Topics without images ({len(empty)} of {len(topics.leaves)})")
    if not empty:
        return
    inner = Report("topics without images")
    for leaf in empty[:MAX_ROWS_SHOWN]:
        inner.text(_PATH.join(topics.paths[leaf]))
    report.details(f"The first {min(len(empty), MAX_ROWS_SHOWN)}", inner)
    rows = [[topics.ids[leaf], topics.dimensions[leaf], _PATH.join(topics.paths[leaf])] for leaf in empty]
    label = f"All {len(empty)} topics without images (CSV)"
    report.download(label, "topics_without_images.csv", _csv(["topic_id", "dimension", "path"], rows))


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()
