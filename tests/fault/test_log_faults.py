"""A log on a disk that is full, or gone, changes nothing: neither what a command does nor how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.running import aml, old
from tests.fault.real import own_disk
from tests.support.records import pattern
from tests.support.stores import make_store, record_spans


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with own_disk(tmp_path / "logs", "8k") as point:
        yield point


def project_in(folder: Path) -> Path:
    agents = {
        f"agent-{one}": {"patterns": [old(f"o{one}"), *(pattern(id=f"{one}-{n}") for n in range(4))]}
        for one in range(30)
    }
    make_store(folder, agents)
    return folder


def contents(project: Path) -> dict[str, list[bytes]]:
    memory = project / ".loom/memory"
    return {str(path.relative_to(memory)): record_spans(path) for path in sorted(memory.rglob("*.json"))}


def test_a_log_that_fills_its_disk_in_the_midst_of_a_run_changes_nothing(tmp_path: Path, tiny_disk: Path) -> None:
    plain, logged = (project_in(tmp_path / name) for name in ("plain", "logged"))
    expected = aml(plain, "prune", "--json")
    log = tiny_disk / "aml.log"
    answer = aml(logged, "prune", "--json", "--log-json", str(log))
    assert answer.status == expected.status == 0
    assert contents(logged) == contents(plain)
    (told,) = answer.envelope["warnings"]
    assert "no log of this command" in told
    assert "No space left" in told
    data = log.read_bytes()
    assert data.endswith(b"\n"), "no half line is left"
    lines = [json.loads(line) for line in data.splitlines()]
    assert 1 < len(lines) < 32, "it was full before the end"
    again = aml(logged, "prune", "--log-json", str(log))
    assert again.status == 0
    assert again.err.count("no log of this command") == 1


def test_a_disk_that_is_full_from_the_start_changes_nothing(tmp_path: Path, tiny_disk: Path) -> None:
    project = project_in(tmp_path / "project")
    for number in range(8):
        with suppress(OSError):
            (tiny_disk / f"filler-{number}").write_bytes(b"x" * 4096)
    answer = aml(project, "prune", "-q", "--log-json", str(tiny_disk / "aml.log"))
    assert (answer.status, answer.out) == (0, "")
    assert answer.err.count("\n") == 1
    assert len(contents(project)) == 30
