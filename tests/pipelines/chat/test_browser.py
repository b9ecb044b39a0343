"""The chat's page in a browser: upload a picture, ask, see two answers with tokens and seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.serving.child import free_port

pytest.importorskip("gradio", reason="the extra `chat` is not installed")
pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def page_url(tmp_path_factory, checkpoints) -> Iterator[str]:
    """The command with two tiny models, for as long as the tests of this file run."""
    folder = tmp_path_factory.mktemp("chat")
    models = []
    for name, checkpoint in zip(("before", "after"), checkpoints, strict=True):
        models.append(str(shutil.copytree(checkpoint, folder / name)))
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "pipelines", "chat", *models, "--port", str(port), "--max-tokens", "12"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        for _ in range(1500):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def test_a_picture_is_asked_about_and_two_answers_come(page_url, window, png, tmp_path):
    (tmp_path / "lamps.png").write_bytes(png)
    window.goto(page_url)
    window.locator("input[type=file]").first.set_input_files(tmp_path / "lamps.png")
    window.get_by_label("Question").fill("How many lights are on?")
    window.locator("img[src*='lamps']").first.wait_for()
    window.get_by_role("button", name="Ask").click()
    costs = window.get_by_text(r"12 tokens, ")
    costs.nth(1).wait_for()
    assert costs.count() == 2
    for name in ("before", "after"):
        assert window.get_by_label(name).input_value()
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")
