"""Counts over all images, and the stage's report: images with and without topics, and the reverse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.core.data.image_store import ImageStore
from components.core.stage.report import Report, csv_text, figure_axes
from components.topic_matching.fine import Outcome
from components.topic_matching.topics import Coverage, Topics

MAX_BARS = 25
MAX_ROWS_SHOWN = 200
MAX_IMAGES_LISTED = 20_000
MAX_EXAMPLES = 12
_PATH = " > "


@dataclass
class Tally:
    """Counts over all images; images = matched + rejected."""

    coverage: Coverage
    images: int = 0
    topics_per_image: Counter[int] = field(default_factory=Counter)
    """Number of topics -> images with so many; 0 is not among them."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason -> images without a topic for it."""
    unmatched: list[dict[str, str]] = field(default_factory=list)
    """The first of those images."""
    examples: list[tuple[bytes, str]] = field(default_factory=list)
    """Pictures to show, with their captions and topics."""

    def add(self, outcome: Outcome, topics: Topics, images: ImageStore) -> None:
        """Count one image."""
        self.images += 1
        if outcome.reason:
            self.reasons[outcome.reason] += 1
            if len(self.unmatched) < MAX_IMAGES_LISTED:
                row = {"image_id": outcome.image_id, "reason": outcome.reason, "detail": outcome.detail}
                self.unmatched.append(row)
        else:
            self.topics_per_image[len(outcome.matches)] += 1
            self.coverage.add((match.topic, match.fine) for match in outcome.matches)
        if len(self.examples) < MAX_EXAMPLES and outcome.reason in ("", "no_topic", "no_candidate"):
            lines = [f"{one.fine:.2f}  {_PATH.join(topics.paths[one.topic])}" for one in outcome.matches]
            caption = "\n".join([outcome.caption, *(lines or ["no topic"])])
            self.examples.append((images.get(outcome.image_id), caption))

    def metrics(self, topics: Topics) -> dict[str, float]:
        """Flat numbers for the stage's metrics."""
        return {
            "images": float(self.images),
            "images_matched": float(sum(self.topics_per_image.values())),
            "images_rejected": float(sum(self.reasons.values())),
            "images_without_topic": float(self.reasons["no_topic"] + self.reasons["no_candidate"]),
            "matches": float(self.coverage.matches[topics.leaves].sum()),
            "topics": float(len(topics.leaves)),
            "topics_without_image": float(len(self.coverage.without_images())),
            "topics_level_1_without_image": float(len(self.coverage.without_images(1))),
            "topics_level_2_without_image": float(len(self.coverage.without_images(2))),
        }


def write_report(report: Report, topics: Topics, tally: Tally) -> None:
    """Images with and without topics, topics with and without images, and example pictures."""
    coverage = tally.coverage
    _images(report, tally)
    report.heading("Coverage of the topics")
    below: dict[int, list[int]] = {}
    for leaf in topics.leaves:
        below.setdefault(topics.line(leaf)[-1], []).append(leaf)
    roots = [topic for topic, path in enumerate(topics.paths) if len(path) == 1]
    report.table([_row(topics, coverage, "first level", root, below.get(root, [])) for root in roots])
    inner = Report("second level")
    branches = topics.leaves_of_branch.items()
    inner.table([_row(topics, coverage, "second level", branch, leaves) for branch, leaves in branches])
    report.details("By second-level topic", inner)
    _bars(report, topics, coverage)
    _without_images(report, topics, coverage)
    report.heading("Examples")
    report.images(tally.examples)


def _images(report: Report, tally: Tally) -> None:
    matched, without = sum(tally.topics_per_image.values()), sum(tally.reasons.values())
    report.heading("Images")
    report.table([{"images": matched + without, "with a topic": matched, "without (rejected)": without}])
    counts = sorted(tally.topics_per_image.items())
    report.table([{"topics": number, "images with so many": count} for number, count in counts])
    report.heading(f"Images without a topic ({without})")
    report.table([{"reason": reason, "images": count} for reason, count in sorted(tally.reasons.items())])
    if tally.unmatched:
        listed = f"CSV, {len(tally.unmatched)} of {without}; all are in the output `rejected`"
        label = f"Images without a topic ({listed})"
        report.download(label, "images_without_topic.csv", csv_text(tally.unmatched))


def _row(
    topics: Topics, coverage: Coverage, level: str, topic: int, leaves: Sequence[int]
) -> dict[str, object]:
    return {
        "dimension": topics.dimensions[topic],
        level: _PATH.join(topics.paths[topic]),
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
    paths = [_PATH.join(topics.paths[leaf]) for leaf in empty]
    rows = [
        {"topic_id": topics.ids[leaf], "dimension": topics.dimensions[leaf], "path": path}
        for leaf, path in zip(empty, paths, strict=True)
    ]
    inner = Report("topics without images")
    for path in paths[:MAX_ROWS_SHOWN]:
        inner.text(path)
    report.details(f"The first {min(len(empty), MAX_ROWS_SHOWN)}", inner)
    label = f"All {len(empty)} topics without images (CSV)"
    report.download(label, "topics_without_images.csv", csv_text(rows))
