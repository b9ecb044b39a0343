"""Adding a stage: its folder, one line in `stages.py`, its wiring in the graph, its section in a profile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("components", "pipelines", "configs", "images", "requirements")
FOLDER = {
    "__init__.py": '"""Caption check: a toy."""\n',
    "__main__.py": 'from components.core.stage.entry import main\n\nmain("caption_check")\n',
    "component.py": """
from components.core.stage.io import StageIO

IO = StageIO(does="Count the questions.", inputs=("qa",), outputs=("counts",))
""",
    "config.py": """
from components.core.stage.settings import Settings


class Config(Settings):
    limit: int = 3
    \"\"\"Most questions counted.\"\"\"
""",
    "stage.py": """
def run(config, context):
    context.outputs["counts"].write_text(str(config.limit))
    context.metrics["limit"] = config.limit
""",
    "README.md": "# caption_check\n",
}
LINE = '    Stage("caption_check", "data", "How many questions are counted."),\n'
WIRING = '    task("caption_check", qa=qa)\n'
SECTION = {"caption_check": {"limit": 5}}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the repository with a stage more."""
    tree = tmp_path_factory.mktemp("repository")
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    folder = tree / "components" / "caption_check"
    folder.mkdir()
    for name, text in FOLDER.items():
        (folder / name).write_text(text)
    insert(tree / "components" / "stages.py", 'Stage("voting_filter"', LINE)
    insert(tree / "pipelines" / "graph" / "post_training.py", 'task("voting_filter"', WIRING)
    with open(tree / "configs" / "demo.yaml", "a") as profile:
        profile.write(yaml.safe_dump(SECTION))
    return tree


def insert(path: Path, after: str, line: str) -> None:
    """Add a line behind the one that holds `after`."""
    lines = path.read_text().splitlines(keepends=True)
    (place,) = [number for number, text in enumerate(lines) if after in text]
    path.write_text("".join([*lines[: place + 1], line, *lines[place + 1 :]]))


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True, check=False)


def evaluated(tree: Path, imports: str, expression: str) -> object:
    """The value of an expression in the copy, by way of JSON."""
    done = python(tree, "-c", f"import json\n{imports}\nprint(json.dumps({expression}))")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_a_task_in_its_place(tree):
    tasks = evaluated(tree, "from components.stages import TASKS", "TASKS")
    place = tasks.index("caption_check")
    assert tasks[place - 1 : place + 2] == ["voting_filter", "caption_check", "evaluation_base"]


def test_it_is_compiled_with_its_settings_and_its_image(tree):
    done = python(tree, "-m", "pipelines", "compile", "--output", "p.yaml")
    assert done.returncode == 0, done.stderr
    ir = next(yaml.load_all((tree / "p.yaml").read_text(), yaml.CSafeLoader))
    data = ir["components"]["comp-data"]["dag"]["tasks"]
    parameter = data["caption-check"]["inputs"]["parameters"]["config"]
    defaults = ir["root"]["inputDefinitions"]["parameters"][parameter["componentInputParameter"]]
    assert defaults == {
        "defaultValue": {"limit": 5.0},
        "description": "How many questions are counted.",
        "isOptional": True,
        "parameterType": "STRUCT",
    }
    container = ir["deploymentSpec"]["executors"]["exec-caption-check"]["container"]
    assert container["command"] == ["python3", "-m", "components.caption_check"]
    assert "/caption-check:" in container["image"]


def test_a_dry_run_shows_its_section_and_checks_its_settings(tree):
    done = python(tree, "-m", "pipelines", "run", "--dry-run")
    assert yaml.safe_load(done.stdout)["caption_check"] == {"limit": 5}
    done = python(tree, "-m", "pipelines", "run", "--dry-run", "--set", "caption_check.limt=1")
    assert done.returncode == 78
    assert "caption_check.limt: unknown setting; did you mean 'limit'?" in done.stderr


def test_preflight_checks_its_section(tree):
    io = evaluated(
        tree,
        "from components.core.stage.io import stage_io as io",
        "[io('preflight').sections, io('preflight').written]",
    )
    profile = yaml.safe_load(python(tree, "-m", "pipelines", "run", "--dry-run").stdout)
    sections = {name: profile[name] for name in io[0]} | {"caption_check": {"limt": 1}}
    line = [f"--section-{name.replace('_', '-')}={json.dumps(value)}" for name, value in sections.items()]
    line += [f"--{name.replace('_', '-')}=out/{name}" for name in (*io[1], "metrics", "report")]
    done = python(tree, "-m", "components.preflight", f"--config={json.dumps(profile['preflight'])}", *line)
    assert done.returncode == 78
    assert "caption_check.limt: unknown setting; did you mean 'limit'?" in done.stderr


def test_promotion_keeps_its_section(tree):
    sections = "stage_io('promotion').sections"
    assert "caption_check" in evaluated(tree, "from components.core.stage.io import stage_io", sections)


def test_its_image_is_built_with_the_others(tree):
    images = "from images import build"
    assert "caption_check" in evaluated(tree, images, "build.chosen([])")
    arguments = evaluated(tree, images, "build.image_arguments('caption_check')")
    assert arguments == {
        "STAGE": "caption_check",
        "LOCKS": "data",
        "CODE": "components/caption_check",
        "DESCRIPTION": "Count the questions.",
    }


def test_its_command_runs(tree):
    qa = tree / "qa.json"
    qa.write_text("[]")
    files = [f"--{name}={tree / 'out' / name}" for name in ("counts", "metrics", "report")]
    done = python(tree, "-m", "components.caption_check", '--config={"limit": 2}', f"--qa={qa}", *files)
    assert done.returncode == 0, done.stderr
    assert (tree / "out" / "counts").read_text() == "2"
