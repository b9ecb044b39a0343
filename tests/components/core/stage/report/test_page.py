from __future__ import annotations

import base64
import re

from components.core.stage.report import Report, figure_axes, page


def test_text_is_escaped_and_everything_is_inside_the_file(tmp_path):
    report = Report("<script>")
    report.heading("a & b")
    report.table([{"name": "<b>", "n": 1234, "x": 0.123456, "ok": True}])
    figure, axes = figure_axes()
    axes.plot([1, 2])
    report.figure(figure, "loss")
    report.images([(b"\x89PNG...", "<img onerror=x>")])
    inner = Report("inner")
    inner.text("deep")
    report.details("more", inner)
    report.write(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "<script>" not in text
    assert "<img onerror" not in text
    assert "1,234" in text
    assert "0.1235" in text
    assert "http" not in text.replace("data:image", "")
    assert "<summary>more</summary><p>deep</p>" in text


def test_fragments_join_to_one_page():
    one, two = Report("one"), Report("two")
    joined = page("run", [one.fragment(), two.fragment()])
    assert joined.count("<main data-fragment") == 2
    assert joined.count("<html") == 1


def test_a_download_carries_its_content() -> None:
    report = Report("r")
    report.download("topics <csv>", 'a"b.csv', "topic,images\nwarning lights,3\n")
    found = re.search(
        r'<a download="a&quot;b.csv" href="data:[^,]*;base64,([^"]*)">topics &lt;csv&gt;</a>',
        report.fragment(),
    )
    assert found and base64.b64decode(found[1]) == b"topic,images\nwarning lights,3\n"
