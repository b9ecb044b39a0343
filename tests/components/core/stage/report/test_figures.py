"""Figures follow the reader's theme: every colour has a counterpart that shows on a dark page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.stage.report import STYLE, Report, breakable, figures
from components.core.stage.report.figures import (
    DARK_PAPER,
    MIN_CONTRAST,
    contrast,
    figure_axes,
    figure_svg,
    in_the_dark,
)

COLOURS = st.integers(0, 2**24 - 1).map("#{:06x}".format)


def drawn() -> str:
    figure, axes = figure_axes()
    axes.plot([1, 2, 3], label="loss")
    axes.bar([1, 2], [2, 1], color="#1f5fa8")
    axes.legend()
    return figure_svg(figure)


def test_the_contrast_of_black_on_white_is_21():
    """(1 + 0.05) / (0 + 0.05), by WCAG's definition."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@given(COLOURS)
def test_every_colour_that_is_no_grey_shows_in_the_dark(colour):
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    if max(parts) - min(parts) >= 0.12 * 255:
        assert contrast(in_the_dark(colour), DARK_PAPER) > MIN_CONTRAST - 0.1


def test_black_becomes_nearly_white_and_white_becomes_paper():
    assert contrast(in_the_dark("#000000"), DARK_PAPER) > 10
    assert contrast(in_the_dark("#1c2430"), DARK_PAPER) > 7
    assert contrast(in_the_dark("#ffffff"), DARK_PAPER) < 1.1


def test_every_colour_of_a_figure_is_written_for_both_themes():
    svg = drawn()
    pairs = re.findall(r"(fill|stroke): (#\w+); \1: light-dark\(\2, (#\w+)\)", svg)
    assert len(pairs) == len(re.findall(r"(?:fill|stroke): #", svg)) > 10
    assert "http" not in svg and "<metadata" not in svg


def test_the_same_figure_is_the_same_text():
    assert drawn() == drawn()


def test_a_figure_of_very_many_points_is_a_picture(monkeypatch):
    monkeypatch.setattr(figures, "LARGEST_SVG", 100)
    report = Report("r")
    figure, axes = figure_axes()
    axes.plot([1, 2])
    report.figure(figure, "many")
    assert "data:image/png" in report.fragment() and "<svg" not in report.fragment()


def test_the_style_has_the_paper_that_colours_are_chosen_for():
    assert f"--paper: {DARK_PAPER}" in STYLE


@pytest.mark.parametrize(
    "text", ["hallucination_rate is lower", "Instrumententafelbeleuchtung", "ground truth: 12.5 km/h"]
)
def test_words_of_a_table_stay_whole(text):
    assert "<wbr>" not in breakable(text).replace(" ", "") or len(max(text.split(), key=len)) > 24
    assert breakable(text).replace("<wbr>", "") == text


def test_a_long_path_breaks_at_its_signs():
    text = breakable("s3://bucket/prefix/instrument_cluster/000012/checkpoint&co")
    assert "<wbr>" in text and "&amp;" in text
    assert re.sub("<wbr>", "", text).endswith("checkpoint&amp;co")
    assert re.search(r"\w<wbr>\w", text.replace("_<wbr>", "")) is None
