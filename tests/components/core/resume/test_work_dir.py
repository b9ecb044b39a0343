"""Work directories: one journal per name, sub-directories made when asked for."""

from __future__ import annotations

from components.core.resume.work_dir import WorkDir


def test_work_directory_hands_out_one_journal_per_name(tmp_path):
    work = WorkDir(tmp_path / "w")
    assert work.journal("x") is work.journal("x")
    assert work.dir("checkpoints").is_dir()
    work.close()


def test_what_an_ended_attempt_wants_forgotten_is_gone_and_still_counts(tmp_path):
    work = WorkDir(tmp_path)
    journal = work.journal("replies")
    journal.put("a", {"tokens": 3})
    journal.put("b", {"tokens": 5})
    journal.forget_at_end(["a", "never put"])
    assert journal.get("a") == {"tokens": 3}
    work.settle()
    assert (journal.get("a"), journal.get("b")) == (None, {"tokens": 5})
    journal.put("a", {"tokens": 7})
    work.close()
    values = [value for value in WorkDir(tmp_path).journal("replies").values() if value]
    assert sorted(value["tokens"] for value in values) == [3, 5, 7]
