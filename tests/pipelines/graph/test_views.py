"""The graph on Kubeflow's page can be read: few nodes a view, and a view fits a screen."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.graph.post_training import compile_pipeline
from pipelines.profile.run_profile import load_profile
from tests.pipelines.graph.views import View, views

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, View]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        profile = load_profile(ROOT / "configs" / "qwen3-vl-8b.yaml")
        text = compile_pipeline(profile, tmp_path_factory.mktemp("ir") / "p.yaml").read_text()
    return dict(views(next(yaml.load_all(text, yaml.CSafeLoader))))


def test_the_views_are_the_main_graph_and_its_sub_graphs(found):
    assert set(found) == {"", "data", "fine-tuning", "reinforcement"}


def test_no_view_has_more_than_45_nodes(found):
    """One graph of all had 96 nodes and 183 edges; at the page's smallest zoom it was 12,000 pixels wide."""
    counted = {name: (len(view.nodes), len(view.edges)) for name, view in found.items()}
    assert counted == {"": (22, 44), "data": (21, 31), "fine-tuning": (26, 38), "reinforcement": (15, 19)}


def test_every_view_fits_a_screen_of_1600_by_1000(found):
    """By the fullest rank. dagre itself, which leaves room for edges, draws them 3170, 2272, 3254 and 2078
    wide and 1028, 832, 636 and 440 high: they fit at a zoom of 0.5, 0.7, 0.49 and 0.77."""
    for name, view in found.items():
        assert view.zoom() >= 0.95, (name, view.room)


def test_a_chain_is_as_high_as_it_is_long_and_a_fan_as_wide():
    chain = View(["a", "b", "c"], [("a", "b"), ("b", "c")])
    assert chain.room == (224, 3 * 48 + 2 * 50)
    fan = View(["a", *"1234567"], [("a", name) for name in "1234567"])
    assert fan.room == (7 * 224 + 6 * 50, 2 * 48 + 50)
    assert fan.zoom() == pytest.approx(1600 / 1868)


def test_an_input_stands_just_above_its_first_reader():
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("input", "d")]
    assert View(["a", "b", "c", "d", "input"], edges).room == (2 * 224 + 50, 4 * 48 + 3 * 50)
