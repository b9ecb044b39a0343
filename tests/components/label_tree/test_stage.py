from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from components.core.manifest import Dataset
from components.core.runner import stage_main
from components.label_tree.config import Config
from components.label_tree.stage import IO, run

EXPERTS = [
    {"name": "Gauges", "dimension": "domain", "description": "dials", "children": [{"name": "Fuel"}]},
    {"name": "Counting", "dimension": "capability"},
]
# Words without a letter in common embed at right angles; each list is one topic's children.
CHILDREN = {
    "Gauges": ["speed", "SPEED!", "jolt"],
    "Counting": ["quick lamp"],
    "Fuel": ["tank", "low tank <b>warning</b>"],
    "speed": ["speedy"],
}


def say(prompt: str, images: list[bytes]) -> str:
    assert not images
    name = re.search(r"^Topic: (?:.* > )?(.*)$", prompt, re.MULTILINE)[1]
    listed = {line.split(". ", 1)[1] for line in prompt.splitlines() if re.match(r"\d+\. ", line)}
    names = [child for child in CHILDREN.get(name, []) if child not in listed]
    return json.dumps({"children": [{"name": child, "description": ""} for child in names]})


def call(tmp_path: Path, server, monkeypatch: pytest.MonkeyPatch, name: str = "out", **settings) -> int:
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))
    config = {"experts": EXPERTS, "model": server.endpoint(), "embedder": server.endpoint("e"), **settings}
    out = tmp_path / name
    argv = ["--config", json.dumps(config), "--label-tree", str(out / "tree"), "--metrics", str(out / "metrics.json"),
            "--report", str(out / "report.html")]  # fmt: skip
    return stage_main("label_tree", Config, IO, run, argv)


def test_a_tree_from_a_real_endpoint(tmp_path: Path, chat_server, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch) == 0
    rows = list(Dataset.open(tmp_path / "out" / "tree", "label_tree").rows_iter())
    assert [" > ".join(row["path"]) for row in rows] == [
        "Gauges",
        "Gauges > Fuel",
        "Gauges > Fuel > tank",
        "Gauges > Fuel > low tank <b/warning</b/",
        "Gauges > speed",
        "Gauges > jolt",
        "Counting",
        "Counting > quick lamp",
    ], "speed and SPEED! are one name; 'speedy' is too near to 'speed'"
    assert [row["origin"] for row in rows if row["level"] < 3] == [
        "expert", "expert", "model", "model", "expert", "model",
    ]  # fmt: skip
    by_id = {row["topic_id"]: row for row in rows}
    for row in rows:
        assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-5)
        assert row["level"] == len(row["path"])
        assert row["parent_id"] == "" or by_id[row["parent_id"]]["path"] == row["path"][:-1]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["topics_level_2"], metrics["topics_level_3"], metrics["topics_by_experts"]) == (4, 2, 3)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b/warning" not in page and "&lt;b/warning" in page, "what a model writes is escaped"
    assert page.count("<details>") == len(rows)


def test_a_rerun_asks_nothing_and_gives_the_same_bytes(tmp_path: Path, chat_server, monkeypatch) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch, "first") == 0
    asked = len(chat_server.prompts)
    assert call(tmp_path, chat_server, monkeypatch, "second") == 0
    assert len(chat_server.prompts) == asked
    manifests = [(tmp_path / name / "tree" / "_MANIFEST.json").read_bytes() for name in ("first", "second")]
    assert manifests[0] == manifests[1]


def test_the_prompt_shows_parent_siblings_and_children(tmp_path: Path, chat_server, monkeypatch) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch, domain="clusters") == 0
    prompt = next(p for p in chat_server.prompts if "Topic: Gauges > speed\n" in p)
    assert "clusters" in prompt
    siblings = prompt.split("Siblings")[1]
    assert "1. Fuel\n2. jolt\n" in siblings
    assert "up to 8 new children" in prompt
    first = next(p for p in chat_server.prompts if "Topic: Gauges\n" in p)
    assert "Description: dials" in first
    assert "1. Fuel\n" in first.split("Existing children")[1]
    assert "Siblings" not in first, "the other expert topic is of another dimension"


def test_unusable_answers_close_branches_and_an_empty_tree_is_an_error(
    tmp_path, chat_server, monkeypatch
) -> None:
    chat_server.say = lambda prompt, images: "HTTP 400" if "Counting" in prompt else say(prompt, images)
    assert call(tmp_path, chat_server, monkeypatch, "some") == 0
    metrics = json.loads((tmp_path / "some" / "metrics.json").read_text())
    assert metrics["branches_failed"] == 1
    chat_server.say = lambda prompt, images: "no JSON"
    assert call(tmp_path, chat_server, monkeypatch, "none", rounds=1) == 65
    assert not (tmp_path / "none" / "tree" / "_MANIFEST.json").exists()
