"""Scratch folders: several at once leave each other alone, and nothing of them stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aml.fs.new_folder import scratch_folder


def test_scratch_folders_beside_each_other_are_not_taken_for_abandoned(tmp_path: Path) -> None:
    def work(number: int) -> str:
        with scratch_folder(tmp_path / "drill") as folder:
            (folder / "one").write_text(str(number), encoding="ascii")
            return (folder / "one").read_text(encoding="ascii")

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(400))) == [str(number) for number in range(400)]
    assert list(tmp_path.iterdir()) == []
