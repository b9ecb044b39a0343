from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.pins import fingerprint, pin
from components.core.stage.runner import stage_main
from components.label_tree.component import IO
from components.label_tree.config import Config
from components.label_tree.stage import run

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


def rows_of(tmp_path: Path, name: str = "out") -> list[dict]:
    return list(Dataset.open(tmp_path / name / "tree", "label_tree").rows_iter())


def digest(tmp_path: Path, name: str) -> str:
    return Dataset.open(tmp_path / name / "tree", "label_tree").digest


def asked_for(server, start: int) -> list[str]:
    """Topics whose children were asked for, from the prompt with this number on."""
    return [re.search(r"^Topic: (.*)$", p, re.MULTILINE)[1] for p in server.prompts[start:]]


def call(tmp_path: Path, server, monkeypatch: pytest.MonkeyPatch, name: str = "out", **settings) -> int:
    monkeypatch.setenv("VLM_WORK_ROOT", str(tmp_path / "work"))
    config = {"experts": EXPERTS, "model": server.endpoint(), "embedder": server.endpoint("e"), **settings}
    out = tmp_path / name
    argv = ["--config", json.dumps(config), "--label-tree", str(out / "tree"),
            "--rejected", str(out / "rejected"), "--metrics", str(out / "metrics.json"),
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


def test_every_proposal_is_a_topic_or_rejected(tmp_path: Path, chat_server, monkeypatch) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch, max_children_l3=1) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    rejected = list(Dataset.open(tmp_path / "out" / "rejected", "rejected").rows_iter())
    by_model = sum(row["origin"] == "model" for row in rows_of(tmp_path))
    assert metrics["proposals"] == by_model + len(rejected) == by_model + metrics["proposals_refused"]
    assert {row["detail"]: row["reason"] for row in rejected} == {
        "Gauges > SPEED! -> Gauges > speed (cosine 1.0000)": "same_name",
        "Gauges > Fuel > low tank <b>warning</b>": "over_budget",
        # s, p, e, e, d, y against s, p, e, e, d: 7 / (√7 · √8) = 0.9354
        "Gauges > speed > speedy -> Gauges > speed (cosine 0.9354)": "near_duplicate",
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'download="refused_proposals.csv"' in page


@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_tree_does_not_depend_on_how_many_are_asked_at_once(
    tmp_path: Path, chat_server, monkeypatch, concurrency: int
) -> None:
    chat_server.say = say
    assert call(tmp_path / "a", chat_server, monkeypatch) == 0
    model = {**chat_server.endpoint(), "max_concurrency": concurrency}
    assert call(tmp_path / "b", chat_server, monkeypatch, model=model) == 0
    assert digest(tmp_path / "a", "out") == digest(tmp_path / "b", "out")


def test_going_on_from_a_tree_without_a_change_asks_nothing_and_gives_it_again(
    tmp_path: Path, chat_server, monkeypatch
) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch, "first") == 0
    asked = len(chat_server.prompts)
    previous = str(tmp_path / "first" / "tree")
    for name, reference in (("second", previous), ("third", pin(previous))):
        assert call(tmp_path, chat_server, monkeypatch, name, previous=reference) == 0
        assert len(chat_server.prompts) == asked
        assert digest(tmp_path, name) == digest(tmp_path, "first")
    manifest = Dataset.open(tmp_path / "second" / "tree", "label_tree").manifest
    assert manifest["provenance"]["inputs"] == {"previous": fingerprint(Path(previous))}


def test_a_new_and_an_edited_first_level_leave_the_rest_alone(
    tmp_path: Path, chat_server, monkeypatch
) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch, "first") == 0
    before = {row["topic_id"]: row for row in rows_of(tmp_path, "first")}
    asked = len(chat_server.prompts)
    # What the model would say now is different: nothing of it may show where topics had their children.
    answers = {
        "Horn": ["hoot"],
        "hoot": ["jazz"],
        "Gauges": ["new"],
        "Counting": ["new"],
        "quick lamp": ["new"],
    }
    chat_server.say = lambda prompt, images: json.dumps(
        {
            "children": [
                {"name": name, "description": ""}
                for name in answers.get(asked_for_in(prompt), [])
                if f". {name}\n" not in prompt
            ]
        }
    )
    experts = [
        {**EXPERTS[0], "description": "round dials"},
        EXPERTS[1],
        {"name": "Horn", "dimension": "domain", "children": [{"name": "Grid", "children": [{"name": "mm"}]}]},
    ]
    previous = str(tmp_path / "first" / "tree")
    assert call(tmp_path, chat_server, monkeypatch, "second", previous=previous, experts=experts) == 0
    assert set(asked_for(chat_server, asked)) == {"Horn", "Horn > hoot", "Horn > Grid"}
    after = {row["topic_id"]: row for row in rows_of(tmp_path, "second")}
    assert [" > ".join(row["path"]) for row in after.values() if row["topic_id"] not in before] == [
        "Horn", "Horn > Grid", "Horn > Grid > mm", "Horn > hoot", "Horn > hoot > jazz",
    ]  # fmt: skip
    gauges = next(row for row in before.values() if row["path"] == ["Gauges"])["topic_id"]
    assert after.pop(gauges)["description"] == "round dials"
    assert {key: after[key] for key in before if key != gauges} == {
        key: row for key, row in before.items() if key != gauges
    }
    metrics = json.loads((tmp_path / "second" / "metrics.json").read_text())
    assert metrics["topics_from_previous"] == len(before)

    asked = len(chat_server.prompts)
    settings = {"previous": str(tmp_path / "second" / "tree"), "experts": experts, "regrow": ["Counting"]}
    assert call(tmp_path, chat_server, monkeypatch, "third", **settings) == 0
    assert set(asked_for(chat_server, asked)) == {"Counting", "Counting > quick lamp", "Counting > new"}
    assert "Counting > new" in [" > ".join(row["path"]) for row in rows_of(tmp_path, "third")]


def asked_for_in(prompt: str) -> str:
    return re.search(r"^Topic: (?:.* > )?(.*)$", prompt, re.MULTILINE)[1]


def test_experts_edits_survive_and_what_they_removed_does_not_come_back(
    tmp_path: Path, chat_server, monkeypatch
) -> None:
    chat_server.say = say
    edits = [
        {"path": "Gauges > speed", "name": "Velocity", "description": "how fast"},
        {"path": "Gauges > Fuel > tank", "remove": True},
        {"path": "Gauges > jolt", "description": "a shock"},
    ]
    expected = {"Gauges > Velocity": "how fast", "Gauges > jolt": "a shock"}

    def check(name: str) -> None:
        found = {" > ".join(row["path"]): row["description"] for row in rows_of(tmp_path, name)}
        assert expected.items() <= found.items()
        assert "Gauges > speed" not in found and "Gauges > Fuel > tank" not in found

    # From scratch, over an unedited tree, over an edited one, and with everything asked once more.
    assert call(tmp_path, chat_server, monkeypatch, "scratch", edits=edits) == 0
    check("scratch")
    assert call(tmp_path, chat_server, monkeypatch, "plain") == 0
    settings = {"edits": edits, "previous": str(tmp_path / "plain" / "tree")}
    assert call(tmp_path, chat_server, monkeypatch, "over", **settings) == 0
    check("over")
    everything = {"previous": str(tmp_path / "over" / "tree"), "regrow": ["Gauges", "Counting"], "rounds": 3}
    assert call(tmp_path, chat_server, monkeypatch, "again", edits=edits, **everything) == 0
    check("again")
    reasons = {row["reason"] for row in Dataset.open(tmp_path / "again" / "rejected", "rejected").rows_iter()}
    assert "removed_by_expert" in reasons, "the model proposed the tank again"
    page = (tmp_path / "over" / "report.html").read_text()
    assert "Experts&#x27; edits" in page and 'download="topics_left_behind.csv"' in page


def test_another_embedder_embeds_the_previous_tree_again(tmp_path: Path, chat_server, monkeypatch) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch, "first") == 0
    rows = rows_of(tmp_path, "first")
    with DatasetWriter(tmp_path / "first" / "tree", "label_tree") as writer:
        writer.write([{**row, "embedding": [1.0, 0.0, 0.0]} for row in rows])
    previous = str(tmp_path / "first" / "tree")
    assert call(tmp_path, chat_server, monkeypatch, "second", previous=previous) == 0
    assert [row["embedding"] for row in rows_of(tmp_path, "second")] == [row["embedding"] for row in rows]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"previous": "missing"}, 66),
        ({"previous": "first/tree#sha256=0"}, 65),
        ({"previous": "first/rejected"}, 65),
        ({"previous": "first/tree", "regrow": ["Gauges > nothing"]}, 78),
        ({"regrow": ["Gauges"]}, 78),
        ({"edits": [{"path": "Gauges > Fuel", "name": "x"}]}, 78),
        ({"edits": [{"path": "Old", "name": "New"}]}, 78),
        ({"edits": [{"path": "a > b"}]}, 78),
    ],
)
def test_settings_that_cannot_be_followed(
    tmp_path: Path, chat_server, monkeypatch, settings: dict, code: int
) -> None:
    chat_server.say = say
    assert call(tmp_path, chat_server, monkeypatch, "first") == 0
    if "previous" in settings:
        settings = {**settings, "previous": str(tmp_path / settings["previous"])}
    assert call(tmp_path, chat_server, monkeypatch, "second", **settings) == code
