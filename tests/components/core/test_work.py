from __future__ import annotations

from components.core.work import Journal, WorkDir


def test_values_survive_reopening_and_the_last_one_wins(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.put("a", {"n": 1})
    journal.put("b", "é\n")
    journal.put("a", [2])
    journal.close()
    again = Journal(tmp_path / "j.jsonl")
    assert (again.get("a"), again.get("b"), again.get("c"), len(again)) == ([2], "é\n", None, 2)


def test_a_torn_last_line_is_dropped_and_writing_goes_on(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.put("a", 1)
    journal.put("b", 2)
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        reopened = Journal(path)
        kept = whole[:cut].count(b"\n")
        assert len(reopened) == kept
        reopened.put("c", 3)
        reopened.close()
        assert Journal(path).get("c") == 3


def test_work_directory_hands_out_one_journal_per_name(tmp_path):
    work = WorkDir(tmp_path / "w")
    assert work.journal("x") is work.journal("x")
    assert work.dir("checkpoints").is_dir()
    work.close()
