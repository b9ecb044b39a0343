"""The rules of the house, checked on the tree as it is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
import yaml

from components.core.stage.container_image import code_version, image
from components.core.stage.settings import Settings, stage_config
from components.stages import SECTIONS, STAGES
from tests.house import (
    CODE,
    FOLDERS,
    PRODUCTION,
    ROOT,
    docstrings,
    import_circles,
    imported,
    lists_of,
    sentences,
    words,
)

COMMANDS = ("export",)
"""Folders of components that people run by hand; they keep the rules of imports that stages keep."""
STAGE_FILES = ("__init__.py", "__main__.py", "component.py", "config.py", "stage.py", "README.md")
HEAVY = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "pyarrow",
    "numpy",
    "PIL",
    "matplotlib",
    "kfp",
}


def stages_in(names: set[str]) -> set[str]:
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "components" and len(part) > 1 and part[1] in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_the_files_of_a_stage(stage):
    missing = [name for name in STAGE_FILES if not (ROOT / "components" / stage / name).is_file()]
    assert not missing


def test_every_folder_of_components_is_a_known_stage_or_command():
    folders = {path.parent.name for path in (ROOT / "components").glob("*/__init__.py")}
    assert folders == {*STAGES, *COMMANDS, "core"}


@pytest.mark.parametrize("stage", [*STAGES, *COMMANDS, "core"])
def test_a_stage_imports_the_core_and_itself_only(stage):
    for path in (ROOT / "components" / stage).rglob("*.py"):
        assert stages_in(imported(path)) <= {stage}, path
        assert not {name for name in imported(path) if name.split(".")[0] == "pipelines"}, path


def test_production_code_knows_neither_demo_nor_tests():
    for path in PRODUCTION:
        assert not {name for name in imported(path) if name.split(".")[0] in {"demo", "tests"}}, path


def test_kfp_stays_outside_the_stages():
    for path in (ROOT / "components").rglob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] == "kfp"}, path


@pytest.mark.parametrize("stage", STAGES)
def test_a_declaration_imports_nothing_but_its_type_and_the_list_of_stages(stage):
    names = imported(ROOT / "components" / stage / "component.py")
    assert {
        name for name in names if not name.startswith(("components.core.stage.io", "components.stages"))
    } == set()


def test_configurations_import_nothing_heavy():
    """In a fresh interpreter, because this one has imported everything already."""
    code = (
        "import sys\n"
        "from components.core.stage.settings import STAGES, stage_config\n"
        "for stage in STAGES: stage_config(stage)\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_is_documented(stage):
    undocumented: list[str] = []

    def visit(model: type[Settings]) -> None:
        for name, field in model.model_fields.items():
            if not field.description:
                undocumented.append(f"{model.__name__}.{name}")
            if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
                visit(field.annotation)

    visit(stage_config(stage))
    assert not undocumented


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_command_is_its_own_module(stage):
    text = (ROOT / "components" / stage / "__main__.py").read_text()
    assert f'main("{stage}")' in text


def test_no_module_imports_itself_by_way_of_others():
    assert import_circles(CODE) == []


def test_stages_are_listed_once():
    names = {*STAGES, *SECTIONS}
    elsewhere = [path for path in CODE if path != ROOT / "components" / "stages.py"]
    found = {str(path.relative_to(ROOT)): lines for path in elsewhere if (lines := [*lists_of(names, path)])}
    assert not found


def test_no_folder_holds_more_files_than_one_looks_through():
    folders = {path.parent for folder in (*FOLDERS, "tests") for path in (ROOT / folder).rglob("*.py")}
    files = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert not {folder: count for folder, count in files.items() if count > 12}


def test_a_docstring_s_sentences_are_read_once():
    long = [
        f"{path.relative_to(ROOT)}:{line}: {words(sentence)} words: {sentence}"
        for path in CODE
        for line, text in docstrings(path)
        for sentence in sentences(text)
        if words(sentence) > 30
    ]
    assert not long, "\n".join(long)


def test_sentences_are_found_in_prose_lists_and_tables():
    text = """First (A. Author et al. 2024, Stat. Med. 3) one; still the first. `second` one.

    Args:
        name: third one
            goes on
        other: fourth one.

    - fifth one
      goes on
    - sixth one:
        its formula = x
    column   of a table
    another  row"""
    assert list(sentences(text)) == [
        "First (A. Author et al. 2024, Stat. Med. 3) one; still the first.", "`second` one.", "Args:",
        "name: third one goes on", "other: fourth one.", "- fifth one goes on", "- sixth one:",
        "its formula = x", "column   of a table", "another  row",
    ]  # fmt: skip


def test_every_module_says_in_one_line_what_it_is():
    first = {path: (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0] for path in CODE}
    wrong = [path for path, line in first.items() if path.read_text().strip() and not 10 < len(line) < 108]
    assert not [str(path.relative_to(ROOT)) for path in wrong]


class _OneValueAKey(yaml.SafeLoader):
    """Refuses a key that comes twice in a mapping; YAML's last one would win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key comes twice"
        return super().construct_mapping(node, deep)


YAML_FOLDERS = {
    "configs": "tests/pipelines/profile",
    "configs/domains": "tests/components/label_tree",
    "charts/vlm-posttrain": "tests/charts",
    "charts/vlm-posttrain/ci": "tests/charts",
    "charts/vlm-posttrain/templates": "tests/charts",
    "demo/teachers": "tests/demo/teachers",
    "demo/teachers/replies": "tests/demo/teachers/replies",
}
"""Folder of YAML files -> the tests that use each of them."""


def test_every_yaml_file_is_read_and_used_by_tests():
    for path in [
        path for folder in ("configs", "charts", "demo") for path in (ROOT / folder).rglob("*.yaml")
    ]:
        assert str(path.parent.relative_to(ROOT)) in YAML_FOLDERS, path
        if path.parent.name != "templates":
            assert yaml.load(path.read_text(encoding="utf-8"), _OneValueAKey) is not None, path
    assert all((ROOT / tests).is_dir() for tests in YAML_FOLDERS.values())


def test_an_image_changes_with_its_own_code_only(tmp_path, monkeypatch):
    from components.core.stage import container_image as images

    for name in ("core", "one", "two"):
        (tmp_path / "components" / name).mkdir(parents=True)
        (tmp_path / "components" / name / "__init__.py").write_text("")
    monkeypatch.setattr(images, "COMPONENTS", tmp_path / "components")
    monkeypatch.setattr(images, "ROOT", tmp_path)

    def versions() -> tuple[str, str]:
        images.code_version.cache_clear()
        images._content_hash.cache_clear()
        return code_version("one"), code_version("two")

    first = versions()
    (tmp_path / "components" / "one" / "stage.py").write_text("x = 1")
    second = versions()
    assert second[0] != first[0]
    assert second[1] == first[1]
    (tmp_path / "components" / "one" / "README.md").write_text("words")
    assert versions() == second
    (tmp_path / "components" / "core" / "tables.py").write_text("y = 1")
    third = versions()
    assert third[0] != second[0]
    assert third[1] != second[1]
    images.code_version.cache_clear()
    images._content_hash.cache_clear()


def test_images_come_from_the_registry_or_from_the_released_digests(tmp_path, monkeypatch):
    from components.core.stage import container_image as images

    monkeypatch.setenv(images.REGISTRY_ENV, "registry.example/team/")
    images._digests.cache_clear()
    assert re.fullmatch(r"registry\.example/team/image-ingest:[0-9a-f]{12}", image("image_ingest"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "digests.yaml").write_text("image_ingest: registry.example/x@sha256:abc\n")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    images._digests.cache_clear()
    assert image("image_ingest") == "registry.example/x@sha256:abc"
    images._digests.cache_clear()


def test_no_file_grows_beyond_one_idea():
    long = {path: len(path.read_text().splitlines()) for path in PRODUCTION}
    assert not {str(path.relative_to(ROOT)): lines for path, lines in long.items() if lines > 400}


def test_the_tree_names_no_machine_of_its_own():
    pattern = re.compile(r"(?<![\w.>}])/(work|root|home/\w+)/")
    texts = [
        *PRODUCTION,
        *(ROOT / "demo").rglob("*.py"),
        *(ROOT / "configs").rglob("*.yaml"),
        *(ROOT / "docs").glob("*.md"),
    ]
    texts += [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "components").rglob("*.md")]
    assert not {
        str(path.relative_to(ROOT)) for path in texts if pattern.search(path.read_text(encoding="utf-8"))
    }


def test_the_page_of_algorithms_names_files_that_exist():
    page = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| ")]
    named = [cell.strip("`") for row in rows for cell in row[-3:-1] if cell.startswith("`")]
    assert len(named) > 80
    for name in named:
        assert any((ROOT / folder / name).exists() for folder in ("components", "tests/components")), name
