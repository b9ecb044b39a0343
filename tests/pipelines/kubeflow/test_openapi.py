"""The check itself: that it finds what the published document does not allow."""

from __future__ import annotations

import json

import pytest

from tests.pipelines.kubeflow.imitation.openapi import answer_problems, request_problems

RUNS = "/apis/v2beta1/runs"


def request(
    method: str, target: str, body: object = None, content_type: str = "application/json"
) -> list[str]:
    return request_problems(method, target, content_type, json.dumps(body).encode() if body else b"")


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", f"{RUNS}/r0", None),
        ("GET", f"{RUNS}?page_size=5&namespace=team", None),
        ("POST", f"{RUNS}/r0:retry", None),
        ("POST", RUNS, {"display_name": "x", "pipeline_version_reference": {"pipeline_id": "p"}}),
        ("POST", "/apis/v2beta1/recurringruns", {"max_concurrency": 1}),
    ],
)
def test_what_the_api_has_is_allowed(method, target, body):
    assert request(method, target, body) == []


@pytest.mark.parametrize(
    ("method", "target", "body", "problem"),
    [
        ("GET", "/apis/v2beta1/run/r0", None, "is not in the API"),
        ("PUT", f"{RUNS}/r0", None, "is not in the API"),
        ("POST", f"{RUNS}/r0:again", None, "is not in the API"),
        ("GET", f"{RUNS}?limit=5", None, "limit is unknown"),
        ("GET", f"{RUNS}?page_size=many", None, "is no integer"),
        ("GET", f"{RUNS}?page_size=1&page_size=2", None, "twice"),
        ("POST", RUNS, {"name": "x"}, "'name' was unexpected"),
        ("POST", RUNS, {"display_name": 5}, "display_name: 5 is not of type 'string'"),
        ("POST", RUNS, {"state": "DONE"}, "'DONE' is not one of"),
        ("GET", f"{RUNS}/r0", {"display_name": "x"}, "a body where none is expected"),
    ],
)
def test_what_it_has_not_is_found(method, target, body, problem):
    (found,) = request(method, target, body)
    assert problem in found


def test_an_upload_without_its_file_is_found():
    found = request_problems("POST", "/apis/v2beta1/pipelines/upload?name=x", "multipart/form-data", b"")
    assert found == ["POST /apis/v2beta1/pipelines/upload: file uploadfile is missing"]


def test_answers_are_checked_too():
    assert answer_problems("GET", f"{RUNS}/r0", 200, {"run_id": "r0", "state": "RUNNING"}) == []
    assert "was unexpected" in answer_problems("GET", f"{RUNS}/r0", 200, {"id": "r0"})[0]
    assert "was unexpected" in answer_problems("GET", f"{RUNS}/r0", 404, {"text": "no"})[0]
