"""The whole stage through its command line, against a real HTTP server."""

from __future__ import annotations

import json

import pytest


def endpoint(server) -> dict:
    return {"base_url": server.base_url, "model": "scorer", "max_retries": 1, "timeout_s": 10}


def test_scores_every_image_and_allots_by_bands(score, images, scoring_server) -> None:
    code, ids, rejected = score(endpoint=endpoint(scoring_server))
    assert (code, rejected) == (0, [])
    assert [row["image_id"] for row in ids] == list(images)
    # Mean of red, green, blue (each 0 to 10) and 5: 1.25, 2.75, 5.75, 7.25, 8.75, 3.75.
    assert [row["ids"] for row in ids] == pytest.approx([1.25, 2.75, 5.75, 7.25, 8.75, 3.75])
    assert [row["n_qa"] for row in ids] == [1, 1, 3, 5, 8, 3]
    assert ids[4]["subject_diversity"] == pytest.approx(10)
    assert ids[4]["scorer"].startswith("mllm:scorer:")
    assert ids[5]["caption"] == "red 10.0"


def test_requests_carry_image_first_then_prompt_and_schema(score, images, scoring_server) -> None:
    score(endpoint=endpoint(scoring_server), seed=7)
    body = scoring_server.requests[0]
    image, text = body["messages"][-1]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert "ocr_text_richness" in text["text"]
    assert body["seed"] == 7
    assert body["response_format"]["json_schema"]["name"] == "ImageScore"


def test_a_total_is_met_exactly(score, images, scoring_server) -> None:
    budget = {"mode": "total", "total": 23, "n_min": 2, "n_max": 6}
    _, ids, _ = score(endpoint=endpoint(scoring_server), budget=budget)
    assert sum(row["n_qa"] for row in ids) == 23
    assert min(row["n_qa"] for row in ids) == 2


def test_weights_change_the_score(score, images, scoring_server) -> None:
    weights = {
        "subject_diversity": 1,
        "spatial_relationships": 0,
        "ocr_text_richness": 0,
        "world_knowledge": 0,
    }
    _, ids, _ = score(endpoint=endpoint(scoring_server), weights=weights)
    assert [row["ids"] for row in ids] == pytest.approx([0, 2, 4, 8, 10, 10])


def test_bad_answers_are_quarantined(score, images, scoring_server) -> None:
    keys = list(images)
    scoring_server.faults = {keys[1]: "out_of_range", keys[3]: "refuse"}
    code, ids, rejected = score(endpoint=endpoint(scoring_server))
    assert code == 0
    assert len(ids) + len(rejected) == len(images)
    assert {row["id"]: row["reason"] for row in rejected} == {
        keys[1]: "malformed_answer",
        keys[3]: "refused_by_endpoint",
    }
    asked = [body for body in scoring_server.requests if len(body["messages"]) > 1]
    assert len(asked) == 1  # the one re-ask, with what was wrong
    assert "world_knowledge" in json.dumps(asked[0]["messages"][-1])


def test_a_second_run_asks_nothing_and_gives_the_same_bytes(score, images, scoring_server, tmp_path) -> None:
    score(out="one", endpoint=endpoint(scoring_server), batch_images=4)
    asked = len(scoring_server.requests)
    score(out="two", endpoint=endpoint(scoring_server), batch_images=4)
    assert asked == len(images) == len(scoring_server.requests)
    for name in ("ids", "rejected"):
        one, two = (sorted((tmp_path / out / name).iterdir()) for out in ("one", "two"))
        assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_proxy_needs_no_endpoint_and_says_so_in_every_row(score, images) -> None:
    pytest.importorskip("rapidocr_onnxruntime")
    code, ids, _ = score(scorer="proxy")
    assert code == 0
    assert {row["scorer"] for row in ids} == {"proxy"}


def test_the_report_shows_examples(score, images, scoring_server, tmp_path) -> None:
    score(endpoint=endpoint(scoring_server))
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(f"Images of {name} density" in page for name in ("low", "middle", "high"))
    assert page.count("data:image/png") >= 10


@pytest.mark.parametrize(
    "settings",
    [
        {},  # mllm without an endpoint
        {"scorer": "proxies"},
        {"scorer": "proxy", "budget": {"mode": "total"}},
        {"scorer": "proxy", "budget": {"band_edges": [3, 2], "band_questions": [1, 2, 3]}},
        {"scorer": "proxy", "budget": {"band_edges": [3], "band_questions": [1]}},
        {"scorer": "proxy", "budget": {"mode": "total", "total": 5, "n_min": 1}},  # six images
        {"scorer": "proxy", "weights": {"ocr": 1}},
        {"scorer": "proxy", "budget": {"n_min": 9}},
    ],
)
def test_bad_settings_are_refused_before_any_work(score, images, settings) -> None:
    assert score(**settings)[0] == 78
