"""A voting method is one file: found by its name, refused where it is missing, used by the stage."""

from __future__ import annotations

import json

import pytest

from components.core.stage.errors import ConfigError
from components.core.stage.settings import parse_settings
from components.voting_filter import methods
from components.voting_filter.config import Config

VOTERS = {"voters": [{"base_url": "http://localhost/v1", "model": name} for name in "ab"]}
UNANIMOUS = '''"""Unanimity: one other answer is enough to reject an item."""
from components.voting_filter.ballot import Outcome
from components.voting_filter.methods.majority import majority_answer

def decide(ballots, config):
    decided = [b.decide(majority_answer(b), b.agreement == 1, config.min_votes) for b in ballots]
    return Outcome(decided, rule="all their votes agree with the proposed answer")
'''


@pytest.fixture
def unanimous(tmp_path, monkeypatch):
    """A method beside the built-in ones."""
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "unanimous.py").write_text(UNANIMOUS)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder)])


def test_the_built_in_methods_are_found_by_being_there():
    assert methods.method_names() == ["dawid_skene", "majority"]


def test_an_unknown_method_is_refused_with_its_nearest_neighbour():
    with pytest.raises(ConfigError, match="unknown method 'majorty'; did you mean 'majority'"):
        parse_settings(Config, {**VOTERS, "method": "majorty"})


def test_another_method_is_one_file(unanimous, run_stage, read):
    code, out = run_stage(method="unanimous", blind_voters=0)
    assert code == 0
    assert {row["agreement"] for row in read(out, "qa_kept")} == {1.0}
    assert all(row["agreement"] < 1 for row in read(out, "qa_rejected"))
    assert "all their votes agree" in (out / "report.html").read_text()
    assert json.loads((out / "metrics.json").read_text())["kept"] > 0
