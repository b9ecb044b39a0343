"""Kinds: every file is one, known to the settings; a new file is all that a new kind takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import get_args

from components.core.benchmarks import Kind
from components.core.benchmarks.kinds import KINDS, all_rules
from tests.house import ROOT

TOY = '''
"""Toy: right if the response is the answer backwards."""

from dataclasses import replace

from components.core.benchmarks.rules import Rules, Scored


def build(item, row):
    return replace(item, answers=(row.answer[::-1],))


def score(response, item):
    return Scored(response, "exact", float(response == item.reference))


RULES = Rules(build, {"toy": "{{ question }} Write it backwards."}, score, names="toyset")
'''

USES = """
import json, sys
from pathlib import Path

from components.core.stage.settings import stage_config
from components.evaluation.asking import prompt_for
from components.evaluation.items import Questions, parse_benchmarks
from components.evaluation.scoring import score

path = sys.argv[1]
entry = {"name": "ToySet", "role": "general", "ref": path}
(told,) = parse_benchmarks(json.dumps([entry]))
(named,) = parse_benchmarks(json.dumps([{**entry, "name": "b", "kind": "toy"}]))
preflight = stage_config("preflight").model_validate(
    {"images": "i", "general_data": "g", "base_model": "m",
     "benchmarks": [{"name": "b", "role": "general", "uri": path, "kind": "toy"}]}
)
questions = Questions()
for benchmark in (told, named):
    questions.add_benchmark(benchmark, None)
print(json.dumps([
    preflight.benchmarks[0].kind,
    [item.kind for item in questions.items],
    prompt_for(questions.items[0], "instructed"),
    [score(response, questions.items[0]) for response in ("cba", "abc")],
]))
"""


def test_every_file_is_a_kind_that_settings_may_name():
    assert set(all_rules()) == set(KINDS) == set(get_args(Kind)) - {"auto"}
    assert all(rules.prompts for rules in all_rules().values())


def test_a_new_file_is_loaded_asked_scored_and_accepted_by_settings(tmp_path):
    shutil.copytree(
        ROOT / "components", tmp_path / "components", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "components" / "core" / "benchmarks" / "kinds" / "toy.py").write_text(TOY)
    (tmp_path / "set.tsv").write_text("index\tquestion\tanswer\n1\tSay abc.\tabc\n")
    done = subprocess.run(
        [sys.executable, "-c", USES, "set.tsv"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        "toy",
        ["toy", "toy"],
        "Say abc. Write it backwards.",
        [["cba", "exact", 1.0], ["abc", "exact", 0.0]],
    ]
