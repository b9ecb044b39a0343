"""The run's page in a browser: nothing beyond the window, text that shows, numbers that lead to questions."""

from __future__ import annotations

import json
import random
import re

import pytest

from components.core.stage.report import Report, figure_axes
from components.core.stage.report.figures import contrast
from components.stages import EVALUATED, TASKS
from pipelines.report.page import write_report
from tests.pipelines.report.test_overview import RUN, VERDICT
from tests.pipelines.report.test_page import MEASURE, evaluate

pytestmark = pytest.mark.browser

COLOURS = """() => Array.from(document.querySelectorAll(
  "main p, main td, main li, main h1, main h2, main dd, nav a, .chart svg text, figcaption"))
  .filter(e => e.checkVisibility() && e.textContent.trim())
  .map(e => [e.tagName, e.ownerSVGElement ? getComputedStyle(e).fill : getComputedStyle(e).color])"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a run whose every stage wrote a wide table and a figure."""
    root = tmp_path_factory.mktemp("run")
    draw = random.Random(3)
    for label in EVALUATED:
        evaluate(
            root, label, {f"{kind} {n}": draw.randint(0, 1) for kind in ("speed", "clock") for n in range(20)}
        )
    (root / "outputs" / "preflight").mkdir(parents=True)
    (root / "outputs" / "preflight" / "benchmarks").write_text("[]")
    (root / "run.json").write_text(json.dumps(RUN))
    rows = [
        {"stage": label} | dict.fromkeys(("domain_accuracy", "pass_at_8"), MEASURE) for label in EVALUATED
    ]
    summary = {"columns": ["domain_accuracy", "pass_at_8"], "rows": rows}
    (root / "outputs" / "promotion").mkdir()
    (root / "outputs" / "promotion" / "verdict").write_text(json.dumps({**VERDICT, "summary": summary}))
    for task in TASKS:
        made = Report(task)
        made.table([{f"a long column {n}": "hallucination of instruments" for n in range(9)}])
        figure, axes = figure_axes()
        axes.plot([1, 3, 2], label="loss")
        axes.set(xlabel="step", ylabel="loss")
        axes.legend()
        made.figure(figure, "loss over steps")
        made.write(root / "outputs" / task / "report")
    return write_report(root)


def hexed(colour: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3])


def test_the_page_fits_the_window_and_is_readable(report, window):
    failed: list[str] = []
    window.on("request", lambda request: failed.append(request.url) if "http" in request.url[:5] else None)
    window.goto(report.as_uri())
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert window.locator(".verdict strong").inner_text() == "Did not pass the gate"
    paper = hexed(window.evaluate("getComputedStyle(document.querySelector('main')).backgroundColor"))
    colours = window.evaluate(COLOURS)
    assert len(colours) > 100
    dim = {(tag, colour) for tag, colour in colours if contrast(hexed(colour), paper) < 4.5}
    assert not dim
    assert not failed


def test_no_word_of_a_table_is_broken(report, window):
    window.goto(report.as_uri())
    heights = window.evaluate(
        """() => Array.from(document.querySelectorAll("#sft_1_domain td")).map(cell => {
          const range = document.createRange(), text = cell.firstChild, broken = [];
          for (const found of text.data.matchAll(/\\S+/g)) {
            range.setStart(text, found.index); range.setEnd(text, found.index + found[0].length);
            if (range.getClientRects().length > 1) broken.push(found[0]);
          }
          return broken;
        }).flat()"""
    )
    assert heights == []
    assert window.evaluate("document.querySelector('#sft_1_domain .scroll').scrollWidth > 390")


def test_a_number_leads_to_as_many_questions(report, window):
    window.goto(report.as_uri())
    link = window.locator("a[data-change=right]").last
    count = link.inner_text()
    link.click()
    shown = window.locator("#questions > figure:visible")
    assert window.locator("#shown").inner_text().startswith(f"{count} of ")
    assert shown.count() == int(count)
    window.locator("select[name=kind]").select_option("clock")
    kinds = set(shown.evaluate_all("items => items.map(item => item.dataset.kind)"))
    assert kinds <= {"clock"} and shown.count() < int(count)
