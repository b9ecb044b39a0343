from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.core.stage.errors import ConfigError
from components.core.stage.settings import parse_settings
from components.label_tree.config import Config
from components.label_tree.tree import plant

ENDPOINT = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}
DOMAINS = sorted((Path(__file__).parents[3] / "configs" / "domains").glob("*.yaml"))


def section(experts: list[dict]) -> dict:
    return {"experts": experts, "model": ENDPOINT, "embedder": ENDPOINT}


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.stem)
def test_every_domain_file_is_a_valid_first_level(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert set(content) == {"domain", "description", "labels"}
    assert content["domain"] == path.stem
    topics = plant(parse_settings(Config, section(content["labels"]), "label_tree").experts)
    assert {topic.dimension for topic in topics} == {"domain", "capability"}
    assert len({topic.topic_id for topic in topics}) == len(topics)


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        ([], "at least 1"),
        ([{"name": "?", "dimension": "domain"}], "letter or digit"),
        ([{"name": "A", "dimension": "domain"}, {"name": "1. a:", "dimension": "domain"}], "two topics"),
        ([{"name": "A", "dimension": "domain", "children": [{"name": "x"}, {"name": "X"}]}], "two topics"),
        ([{"name": "A", "dimension": "domian"}], "'domain' or 'capability'"),
    ],
)
def test_bad_experts(experts: list[dict], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_settings(Config, section(experts), "label_tree")


def test_the_same_name_may_stand_in_both_dimensions() -> None:
    parse_settings(Config, section([{"name": "A", "dimension": d} for d in ("domain", "capability")]))
