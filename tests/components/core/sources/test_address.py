from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.sources.address import (
    HubAddress,
    data_source,
    is_hub_name,
    model_source,
    parse_hub_uri,
)

PARTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
ADDRESSES = st.builds(
    HubAddress,
    kind=st.sampled_from(["model", "dataset"]),
    repo=st.builds("{}/{}".format, PARTS.filter(lambda part: part != "datasets"), PARTS),
    revision=PARTS | st.builds("refs/pr/{}".format, st.integers(1, 99)),
    path=st.just("") | st.lists(PARTS, min_size=1, max_size=3).map("/".join),
)


@given(ADDRESSES)
def test_an_address_is_read_as_it_is_written(address):
    assert parse_hub_uri(str(address)) == address


@given(ADDRESSES)
def test_a_name_becomes_the_address_of_what_the_setting_takes(address):
    name = f"{address.repo}@{address.revision}{'/' if address.path else ''}{address.path}"
    assert is_hub_name(name)
    source = model_source if address.kind == "model" else data_source
    assert source(name) == source(str(address)) == str(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/models/qwen",
        "data/general",
        "./a/b@c",
        "../a/b@c",
        "/a/b@c",
        "a@b",
        "s3://bucket/a@b",
        "a/b/c@d",
    ],
)
def test_paths_and_buckets_stay_as_they_are(text):
    assert not is_hub_name(text)
    assert model_source(text) == data_source(text) == text


def test_without_a_revision_it_is_the_main_branch_and_a_pin_stays():
    assert str(parse_hub_uri("hf://Qwen/Qwen3-VL-8B-Instruct")) == "hf://Qwen/Qwen3-VL-8B-Instruct@main"
    assert model_source("a/b@c#sha256=1") == "hf://a/b@c#sha256=1"


@pytest.mark.parametrize("text", ["hf://", "hf://a", "hf://a/b@", "hf://a/b@c/../d", "hf://a/b@c//d"])
def test_what_names_no_repository_is_refused(text):
    with pytest.raises(ValueError, match="owner/name@revision"):
        model_source(text)


def test_a_dataset_is_no_model():
    with pytest.raises(ValueError, match="is a dataset of the hub, and this setting takes a model"):
        model_source("hf://datasets/a/b@c")
    with pytest.raises(ValueError, match="takes a dataset"):
        data_source("hf://a/b@c")
