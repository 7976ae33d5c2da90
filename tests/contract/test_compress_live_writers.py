"""Agents go on writing while their files are compressed and turned back: no acknowledged write is lost (H30)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.cli.running import aml_child
from tests.contract.compressing import GZIP
from tests.support.live_writer import fresh_pattern, start_writer
from tests.support.stores import make_store, read_array

COMPRESS = ("optimize", "compress", "--age-days", "0", "--json")


def check_side_by_side(tmp_path: Path, seconds: float, programs: Sequence[Sequence[str]]) -> None:
    agents = {agent: {"patterns": [fresh_pattern(agent) for _ in range(500)]} for agent in ("alpha", "beta")}
    files = [make_store(tmp_path, agents) / agent / "patterns.json" for agent in agents]
    at_first = [record for file in files for record in read_array(file)]
    writers = [
        start_writer(files[number:] + files[:number], tmp_path / f"{number}.log", seconds=seconds, program=program)
        for number, program in enumerate(programs)
    ]
    forms = set()
    try:
        while any(writer.process.poll() is None for writer in writers):
            for words in (COMPRESS, (*COMPRESS, "--decompress")):
                answer = aml_child(tmp_path, *words)
                assert answer.status == ExitStatus.DONE, answer.out
                assert [file["problem"] for file in answer.envelope["data"]["files"] if file["problem"]] == []
                forms |= {file.read_bytes().startswith(GZIP) for file in files}
        written = [entry for writer in writers for entry in writer.finish()]
    finally:
        for writer in writers:
            writer.kill()
    assert forms == {True, False}
    assert len(written) >= len(writers) * seconds / 5
    live = [record for file in files for record in read_array(file)]
    by_id = {record["id"]: record for record in live}
    wanted = [*at_first, *(entry.record for entry in written)]
    assert len(live) == len(by_id) == len(wanted)
    assert all(by_id.get(record["id"]) == record for record in wanted)
    assert {path.name for path in files[0].parent.iterdir()} == {"patterns.json"}


@pytest.mark.slow
def test_h30_no_acknowledged_write_of_a_live_agent_is_lost(tmp_path: Path) -> None:
    check_side_by_side(tmp_path, 5, [(), ()])


@pytest.mark.node
def test_h30_no_acknowledged_write_of_a_node_agent_is_lost(tmp_path: Path, node_writer: list[str]) -> None:
    check_side_by_side(tmp_path, 5, [node_writer, ()])
