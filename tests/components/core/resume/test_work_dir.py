"""Work directories: one journal per name, sub-directories made when asked for."""

from __future__ import annotations

from components.core.resume.work_dir import WorkDir


def test_work_directory_hands_out_one_journal_per_name(tmp_path):
    work = WorkDir(tmp_path / "w")
    assert work.journal("x") is work.journal("x")
    assert work.dir("checkpoints").is_dir()
    work.close()
