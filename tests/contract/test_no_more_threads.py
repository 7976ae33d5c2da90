"""Where the system has no further thread to give, a command says so, and leaves no lock and no unfinished write."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aml.errors import ExitStatus
from tests.cli.running import Answer, aml
from tests.contract.pruning import fresh, stale
from tests.support.records import NOW
from tests.support.stores import make_store, read_array

COMMANDS = (
    "prune --max-loss 100%",
    "optimize gc --max-loss 100%",
    "optimize compress --age-days 0",
    "query --text cache",
    "backup create",
    pytest.param("migrate up --yes", marks=pytest.mark.slow),  # a migration that fails leaves agents their time
)


def _with_threads(monkeypatch: pytest.MonkeyPatch, number: int, folder: Path, line: str) -> tuple[Answer, bool]:
    """The answer of a command that is given so many threads, and whether it wanted more."""
    real, left = threading.Thread.start, [number]

    def start(thread: threading.Thread) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        real(thread)

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", start)
        return aml(folder, *line.split(), now=NOW.timestamp()), left[0] < 0


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_without_threads_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        agents = {
            name: {"patterns": [stale(f"{name}-s"), fresh(f"{name}-f"), None], "solutions": [None]}
            for name in ("alpha", "beta", "gamma")
        }
        memory = make_store(folder, agents)
        answer, lacked = _with_threads(monkeypatch, number, folder, line)
        left = [path.name for path in folder.rglob("*") if ".aml-tmp-" in path.name]
        left += [path.name for path in memory.rglob("*.lock")]
        assert left == []
        if not lacked:
            break
        assert answer.status in (ExitStatus.FAILED, ExitStatus.PARTIAL, ExitStatus.DONE)
        if answer.status:
            assert "start no further thread" in answer.err
        assert len(read_array(memory / "alpha/patterns.json")) >= 1
        assert aml(folder, *line.split(), now=NOW.timestamp() + 60).status == ExitStatus.DONE
    else:
        pytest.fail("it never had threads enough")
