"""Copies of the hub's repositories, by the real huggingface_hub against a hub on loopback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.core.data.pins import pin
from components.core.sources.cache import hub_cache
from components.core.sources.copies import hold, local_copy
from components.core.stage.errors import ConfigError, DataError, NoInputError, StageError

WEIGHTS = random.Random(1).randbytes(40_000)
MODEL = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": WEIGHTS[::-1],
    "tokenizer/vocab.json": b'{"a": 1}',
}
ADDRESS = "hf://o/model@main"


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def repository(hub):
    repository = hub.repository("model", "o/model")
    repository.commit(MODEL)
    return repository


def test_a_model_is_fetched_once_without_weights_in_other_formats(hub, repository):
    path = local_copy(ADDRESS)
    assert content(path) == {name: data for name, data in MODEL.items() if not name.endswith(".bin")}
    assert not any(file.is_symlink() for file in path.rglob("*"))
    sent = dict(hub.sent)
    assert set(sent.values()) == {1}
    pinned = pin(ADDRESS)
    hub.away = True  # a pinned copy needs no hub
    assert local_copy(pinned) == path and dict(hub.sent) == sent


def test_a_pin_is_a_commit_and_changes_when_the_branch_moves(hub, repository, caplog):
    first = hold(ADDRESS)
    assert first.reference == pin(ADDRESS) and f"@{repository.branches['main']}#sha256=" in first.reference
    repository.commit(MODEL | {"config.json": b'{"new": 1}'})
    second = hold(ADDRESS)
    assert second.reference != first.reference
    assert content(second.path)["config.json"] == b'{"new": 1}'
    assert content(local_copy(first.reference))["config.json"] == b"{}"
    assert hub.sent["model.safetensors"] == 1  # equal files are not fetched again


def test_a_branch_that_moved_is_told_of(hub, repository, capfd):
    hold(ADDRESS)
    repository.commit({"config.json": b"1"})
    hold(ADDRESS)
    assert "has moved from" in capfd.readouterr().err


def test_a_dataset_and_one_file_of_it(hub):
    files = {"a/x.tsv": b"x", "a/y.tsv": b"y", "z.bin": b"z"}
    hub.repository("dataset", "o/data").commit(files)
    assert content(local_copy("hf://datasets/o/data@main")) == files
    one = local_copy("hf://datasets/o/data@main/a/x.tsv")
    assert (one.name, one.read_bytes()) == ("x.tsv", b"x")
    assert set(content(local_copy("hf://datasets/o/data@main/a"))) == {"a/x.tsv", "a/y.tsv"}
    with pytest.raises(NoInputError, match="no such file or folder"):
        local_copy("hf://datasets/o/data@main/b")


def test_a_gated_repository_is_refused_with_what_to_do_and_opened_by_a_token(hub, repository, monkeypatch):
    repository.gated = True
    with pytest.raises(ConfigError, match=r"is gated: accept its terms at http.*/o/model.*HF_TOKEN"):
        local_copy(ADDRESS)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert content(local_copy(ADDRESS))["model.safetensors"] == WEIGHTS


@pytest.mark.parametrize(
    ("address", "message"),
    [("hf://o/nothing@main", "no such model"), ("hf://o/model@gone", "no revision 'gone'"),
     ("hf://datasets/o/model@main", "no such dataset")],
)  # fmt: skip
def test_what_is_not_there_is_named(hub, repository, address, message):
    with pytest.raises(NoInputError, match=message):
        local_copy(address)


def test_a_hub_that_does_not_answer_is_worth_another_attempt(hub, repository):
    hub.server_close()
    with pytest.raises(StageError, match="did not answer") as error:
        local_copy(ADDRESS)
    assert error.value.exit_code == 1


def test_offline_the_cache_of_huggingface_hub_is_taken(hub, repository, monkeypatch):
    local_copy(ADDRESS)
    for place in (hub_cache().parent / "copies").iterdir():  # as if others had filled the hub's cache
        subprocess.run(["rm", "-r", str(place)], check=True)
    hub.away = True
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("VLM_LIBRARIES_OFFLINE", raising=False)
    assert content(local_copy(ADDRESS))["model.safetensors"] == WEIGHTS
    with pytest.raises(NoInputError, match="HF_HUB_OFFLINE is set; fetch it online once"):
        local_copy("hf://o/other@main")


def test_libraries_kept_offline_do_not_keep_the_hub_away(hub, repository, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("VLM_LIBRARIES_OFFLINE", "1")
    assert local_copy(ADDRESS).is_dir()


def test_a_damaged_file_is_fetched_again(hub, repository):
    hub.damaged = {"model.safetensors"}
    assert content(local_copy(ADDRESS))["model.safetensors"] == WEIGHTS
    assert hub.sent["model.safetensors"] == 2


def test_a_transfer_that_breaks_off_goes_on(hub, repository):
    hub.cut = {"model.safetensors"}
    assert content(local_copy(ADDRESS))["model.safetensors"] == WEIGHTS


def some_files(repository, *names: str) -> None:
    """Leave in the cache what a process has fetched that was killed in between."""
    arguments = {"cache_dir": str(hub_cache()), "allow_patterns": list(names)}
    code = f"import huggingface_hub as h; h.snapshot_download('o/model', revision=R, **{arguments})"
    subprocess.run([sys.executable, "-c", code.replace("R", repr(repository.branches["main"]))], check=True)


def test_a_part_in_the_cache_is_completed_though_the_hub_falls_half_silent(hub, repository):
    some_files(repository, "config.json")
    hub.deaf = {"revision"}
    path = local_copy(f"hf://o/model@{repository.branches['main']}")
    assert content(path)["model.safetensors"] == WEIGHTS


def test_offline_a_part_in_the_cache_is_no_model(hub, repository, monkeypatch):
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
    shards = {"model.safetensors.index.json": index, "model-1.safetensors": WEIGHTS}
    repository.commit(shards | {"model-2.safetensors": WEIGHTS, "config.json": b"{}"})
    some_files(repository, *shards)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("VLM_LIBRARIES_OFFLINE", raising=False)
    with pytest.raises(NoInputError, match="is not whole in .*fetch it online once"):
        local_copy(f"hf://o/model@{repository.branches['main']}")


def test_a_tag_is_pinned_as_its_commit(hub, repository):
    tagged = repository.branches["main"]
    repository.branches["v1.0"] = tagged
    repository.commit({"config.json": b"later"})
    held = hold("hf://o/model@v1.0")
    assert f"@{tagged}#" in held.reference and content(held.path)["model.safetensors"] == WEIGHTS


def test_weights_in_other_formats_are_fetched_where_there_are_no_others(hub, repository):
    """Safetensors of another folder do not stand for them; those above a folder do."""
    repository.commit(MODEL | {"old/pytorch_model.bin": b"old", "old/config.json": b"{}"})
    assert content(local_copy(f"{ADDRESS}/old")) == {
        "old/pytorch_model.bin": b"old",
        "old/config.json": b"{}",
    }
    assert not any(name.endswith(".bin") for name in content(local_copy(ADDRESS)))
    repository.commit({"pytorch_model.bin": b"w", "adapter[1]/a.safetensors": b"a"})
    assert set(content(local_copy(ADDRESS))) == {"pytorch_model.bin", "adapter[1]/a.safetensors"}
    assert set(content(local_copy(f"{ADDRESS}/adapter[1]"))) == {"adapter[1]/a.safetensors"}


def test_a_cache_that_cannot_be_written_still_gives_what_it_holds(hub, repository):
    """A claim with models may be mounted read-only; here the folder of names cannot be made."""
    held = hold(f"hf://o/model@{repository.branches['main']}")
    refs = hub_cache() / "models--o--model" / "refs"
    subprocess.run(["rm", "-rf", str(refs)], check=True)
    refs.write_bytes(b"no folder")
    assert hold(ADDRESS).path == held.path


def test_two_processes_at_once_fetch_once(hub, repository):
    hub.delay_s = 0.02
    code = "import sys; from components.core.sources.copies import local_copy; print(local_copy(sys.argv[1]))"
    command = [sys.executable, "-c", code, ADDRESS]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {child.communicate()[0] for child in both}
    assert len(paths) == 1 and set(hub.sent.values()) == {1}


def test_a_token_that_the_hub_does_not_know_is_told_of_without_being_shown(hub, repository, monkeypatch):
    repository.gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_another-token-of-nobody")
    with pytest.raises(ConfigError, match="HF_TOKEN") as error:
        local_copy(ADDRESS)
    assert "another-token" not in str(error.value)


def test_a_file_that_stays_damaged_is_refused(hub, repository):
    class Always(set):
        def discard(self, _):
            pass

    hub.damaged = Always({"config.json"})
    with pytest.raises(DataError, match=r"differ from their digest, the first is config.json"):
        local_copy(ADDRESS)


def test_room_is_looked_at_before_anything_is_fetched(hub, repository, monkeypatch):
    hub.sizes["model.safetensors"] = 2**60
    with pytest.raises(ConfigError, match=r"needs 1,073,741,824.00 GiB.*VLM_CACHE_ROOT"):
        local_copy(ADDRESS)
    assert not hub.sent


def test_a_copy_that_lost_a_file_is_made_again(hub, repository):
    path = local_copy(ADDRESS)
    (path / "config.json").unlink()
    assert (local_copy(ADDRESS) / "config.json").is_file()


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_the_same_call_ends_with_the_same_bytes(hub, cache, seed):
    made = random.Random(seed)
    files = {f"part-{n}.safetensors": made.randbytes(30_000) for n in range(6)} | {"config.json": b"{}"}
    hub.repository("model", "o/many").commit(files)
    hub.delay_s = 0.03
    code = "import sys; from components.core.sources.copies import local_copy; print(local_copy(sys.argv[1]))"
    command = [sys.executable, "-c", code, "hf://o/many@main"]
    kills = 0
    for _ in range(4):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 60
        wanted = sum(hub.sent.values()) + made.randrange(1, 4)
        while child.poll() is None and sum(hub.sent.values()) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        if child.poll() is None:
            time.sleep(made.uniform(0, 0.3))
            os.killpg(child.pid, signal.SIGKILL)
            kills += 1
        child.wait()
    hub.delay_s = 0
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    path = Path(done.stdout.strip())
    assert kills and content(path) == files
    listing = json.loads((path.parent / "listing.json").read_text())["files"]
    assert listing == {name: len(data) for name, data in files.items()}
    assert {item.name for item in path.parent.iterdir()} <= {"files", "listing.json", ".lock"}
