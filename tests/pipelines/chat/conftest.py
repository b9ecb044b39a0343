"""A browser for looking at pages (Debian's Chromium); tests that want one are skipped with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.serving.conftest import checkpoints, png  # noqa: F401 - fixtures

WIDTHS = {"desk": 1280, "phone": 390}


@pytest.fixture(scope="session")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        # Containers give Chromium no sandbox of its own; it opens pages of these tests alone.
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[(width, theme) for width in WIDTHS for theme in ("light", "dark")], ids="-".join)
def window(request, browser, tmp_path) -> Iterator:
    """A page at each width and in each theme; a screenshot is left when the test ends."""
    width, theme = request.param
    page = browser.new_page(viewport={"width": WIDTHS[width], "height": 900}, color_scheme=theme)
    page.set_default_timeout(60_000)
    yield page
    folder = Path(str(tmp_path))
    page.screenshot(path=folder / f"{width}-{theme}.png")
    page.close()
