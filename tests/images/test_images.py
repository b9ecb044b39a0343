"""The images as files: what every Dockerfile and lock keeps to, whoever edits it next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from components.core.stage import container_image as resolver
from components.core.stage.container_image import LOCKS, image, stale_digests
from components.core.stage.errors import ConfigError
from components.stages import STAGES
from images import build

ROOT = Path(__file__).resolve().parents[2]
STAGE = ROOT / "images" / "stage.Dockerfile"
DOCKERFILES = [STAGE, ROOT / "images" / "cli.Dockerfile"]
DEPENDENCIES = sorted((ROOT / "images").glob("dependencies*.Dockerfile"))
LOCK_FILES = sorted((ROOT / "requirements").glob("*.lock"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", flags=re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    return {normal(name): version for name, version in PIN.findall(path.read_text())}


def for_stage(stage: str) -> str:
    """The Dockerfile with the arguments of a stage in place of their names."""
    text = STAGE.read_text()
    for name, value in {**build.image_arguments(stage), "VLM_STAGE": stage}.items():
        assert re.search(rf"^(ARG|ENV) {name}\b", text, flags=re.MULTILINE)
        text = text.replace(f"${{{name}}}", value)
    return text


def test_every_argument_of_the_stage_dockerfile_is_given():
    declared = set(re.findall(r"^ARG (\w+)", STAGE.read_text(), flags=re.MULTILINE))
    for stage in STAGES:
        assert declared == {*build.image_arguments(stage), "DEPENDENCIES", "CODE_VERSION", "REVISION"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_image_holds_its_own_code_its_group_and_a_health_check(stage):
    text = for_stage(stage)
    assert build.dependencies_of(stage, gpu=False) == STAGES[stage].group
    assert f"for lock in {' '.join(LOCKS[STAGES[stage].group])};" in text
    copied = {
        source
        for line in re.findall(r"^COPY (components.*) \S+$", text, flags=re.MULTILINE)
        for source in line.split()
    }
    own = "components" if stage in resolver.CHECKS_ALL else f"components/{stage}"
    assert copied == {"components/__init__.py", "components/stages.py", "components/core", own}
    assert f"import components.{stage}.stage" in re.search(r"^HEALTHCHECK .*", text, flags=re.MULTILINE)[0]
    assert f"python3 -m components.{stage} --help" in text
    assert f'title="vlm-posttrain {stage}"' in text
    assert "org.opencontainers.image.version" in text


def test_the_build_context_has_everything_that_is_copied():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for path in (*DOCKERFILES, *DEPENDENCIES):
        text = re.sub(r"\$\{\w+\}", "x", path.read_text())
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, flags=re.MULTILINE):
            for source in line.split():
                inside = source == "images" or any(source == k or source.startswith(f"{k}/") for k in kept)
                assert inside or source == "x", (path.name, source)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_stage_image_sets_no_entrypoint_and_ends_as_the_user_it_was_given(path):
    """Kubeflow's argv follows the entrypoint of the dependencies, which only forwards signals."""
    final = path.read_text().rpartition("\nFROM ")[2]
    assert not re.search(r"^(ENTRYPOINT|USER|RUN|ADD)\b", final, flags=re.MULTILINE)


@pytest.mark.parametrize("path", DEPENDENCIES, ids=lambda path: path.name)
def test_dependencies_are_pinned_hashed_and_run_as_anyone_but_root(path):
    text = path.read_text()
    bases = re.findall(r"^ARG (?:BASE|BUILD)_IMAGE=(\S+)", text, flags=re.MULTILINE)
    assert bases
    assert all(re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", base) for base in bases)
    assert "--require-hashes" in text
    assert "--no-cache-dir" in text
    final = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 65532:0$", final, flags=re.MULTILINE)
    for name in ("HOME", "TMPDIR", "HF_HOME", "MPLCONFIGDIR"):
        assert re.search(rf"\b{name}=/tmp", final)
    assert "pip" not in final
    assert "bill_of_materials.py" in final


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.stem)
def test_every_locked_package_has_a_hash_and_no_address(path):
    entries = re.split(r"\n(?=\S)", path.read_text().strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert "://" not in path.read_text()


@pytest.mark.parametrize("path", [p for p in LOCK_FILES if p.stem != "gpu"], ids=lambda path: path.stem)
def test_locks_agree_with_the_versions_that_are_tested(path):
    tested = pins(ROOT / "requirements" / "constraints.txt")
    differ = {
        name: (version, tested[name])
        for name, version in pins(path).items()
        if name in tested and version.split("+")[0] != tested[name]
    }
    assert not differ


def test_stage_images_carry_no_kfp_and_the_gpu_lock_carries_the_engines():
    for group in ("core", "data", "train", "gpu"):
        assert not {"kfp", "kubernetes", "pytest", "mypy"} & set(
            pins(ROOT / "requirements" / f"{group}.lock")
        )
    assert {"vllm", "flash-attn", "deepspeed", "torch"} <= set(pins(ROOT / "requirements" / "gpu.lock"))
    assert "kfp" in pins(ROOT / "requirements" / "cli.lock")


@pytest.fixture
def digests(tmp_path, monkeypatch):
    """Write an `images/digests.yaml` that the resolver reads."""

    def write(content: object) -> Path:
        path = tmp_path / "images" / "digests.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        resolver._digests.cache_clear()
        return path

    version = resolver.code_version("voting_filter")  # of the real tree, before the root moves
    resolver.code_version("ids_scoring")
    monkeypatch.setattr(resolver, "ROOT", tmp_path)
    write.version = version  # type: ignore[attr-defined]
    yield write
    resolver._digests.cache_clear()


def test_a_digest_built_from_this_code_is_used(digests):
    pinned = "registry.example/voting-filter@sha256:" + "a" * 64
    digests({"voting_filter": {"image": pinned, "code_version": digests.version}})
    assert image("voting_filter") == pinned
    assert image("ids_scoring").endswith(resolver.code_version("ids_scoring"))
    assert stale_digests() == {}


def test_a_stale_digest_is_not_used_and_is_named(digests):
    digests({"voting_filter": {"image": "registry.example/x@sha256:1", "code_version": "000000000000"}})
    assert image("voting_filter").endswith(f"voting-filter:{digests.version}")
    assert stale_digests() == {
        "voting_filter": f"built from code 000000000000, the tree is at {digests.version}"
    }


def test_an_entry_without_its_code_version_is_refused(digests):
    digests({"voting_filter": {"image": "registry.example/x@sha256:1"}})
    with pytest.raises(ValueError, match="voting_filter needs 'image' and 'code_version'"):
        image("voting_filter")


def test_compile_refuses_stale_digests(digests, tmp_path):
    from typer.testing import CliRunner

    from pipelines.cli import app

    digests({"voting_filter": {"image": "registry.example/x@sha256:1", "code_version": "000000000000"}})
    output = tmp_path / "out.yaml"
    done = CliRunner().invoke(app, ["compile", "--output", str(output)])
    assert done.exit_code == ConfigError.exit_code
    assert "voting_filter: built from code 000000000000" in done.output
    assert "make images" in done.output
    assert not output.exists()


def test_pushed_digests_join_those_that_are_there(tmp_path):
    path = tmp_path / "digests.yaml"
    one = {"image": "r/one@sha256:1", "code_version": "1", "dependencies": "core"}
    two = {"image": "r/two@sha256:2", "code_version": "2", "dependencies": "data"}
    build.write_digests(path, {"one": one})
    build.write_digests(path, {"two": two})
    build.write_digests(path, {"one": {**one, "code_version": "3"}})
    assert yaml.safe_load(path.read_text()) == {"one": {**one, "code_version": "3"}, "two": two}


def test_all_images_by_default_and_a_wrong_name_names_its_neighbour():
    assert build.chosen([]) == [*STAGES, "cli"]
    with pytest.raises(ConfigError, match="did you mean 'voting_filter'"):
        build.chosen(["votin_filter"])


def test_training_stages_alone_stand_on_cuda():
    assert build.dependencies_of("hybrid_rl", gpu=True) == "gpu"
    assert build.dependencies_of("hybrid_rl", gpu=False) == "train"
    assert build.dependencies_of("ids_scoring", gpu=True) == "data"
