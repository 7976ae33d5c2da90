"""What is read as a whole has to be short enough for that."""

from __future__ import annotations

from tests.cli.running import PROJECT

MOST_LINES = 400


def test_no_file_of_python_is_longer_than_somebody_reads_at_once() -> None:
    paths = [path for folder in ("aml", "tests", "docs") for path in (PROJECT / folder).rglob("*.py")]
    lines = {path: path.read_bytes().count(b"\n") for path in paths}
    assert len(lines) > 500
    assert {str(path.relative_to(PROJECT)): many for path, many in lines.items() if many > MOST_LINES} == {}
