"""The tutorial: its commands are run one after the other, and answer what stands there."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aml.cli.invocation import Streams
from aml.cli.main import run
from tests.cli.running import PROJECT, give_agents_their_turn
from tests.support.records import NOW

PAGE = PROJECT / "docs" / "tutorial.md"

_SESSION = re.compile(r"<!-- session -->\n```console\n(.*?)```", re.DOTALL)
_STATUS = re.compile(r"#.*exit status (\d+)")
_RUN = r"\d{8}T\d{6}-\d{4}-[0-9a-f]{4}"
_BACKUP = r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}"
_TIME = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
_SIZE = r"\d[\d.]*(?= (?:B|KiB|MiB)\b)"
_ID = re.compile(f"{_BACKUP}|{_RUN}")
_PART = re.compile(
    rf"(?P<backup>{_BACKUP})|(?P<run>{_RUN})|(?P<time>{_TIME})|(?P<size>{_SIZE})|(?P<dots> ?\.\.\. ?)|(?s:.)"
)
_STEP_SECONDS = 60.0


@dataclass
class Shell:
    """Somebody who types what the page shows, a minute apart; ids that are shown stand for those there are."""

    folder: Path
    now: float = NOW.timestamp()
    ids: dict[str, str] = field(default_factory=dict)

    def type(self, line: str) -> tuple[int, str]:
        """The exit status, and all that the terminal shows."""
        self.now += _STEP_SECONDS
        words = shlex.split(_ID.sub(lambda found: self.ids[found[0]], line), comments=True)
        if words[0] == "cd":
            self.folder /= words[1]
            return 0, ""
        if words[0] != "aml":
            done = subprocess.run(["sh", "-ec", line], cwd=self.folder, capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout + done.stderr
        terminal = io.StringIO()
        status = run(
            words[1:],
            streams=Streams(terminal, terminal, io.StringIO()),
            environment={},
            clock=lambda: self.now,
            folder=self.folder,
        )
        give_agents_their_turn(self.folder)
        return status, terminal.getvalue()

    def compare(self, line: str, shown: str, answer: str) -> None:
        """Fail where the answer is another one than is shown; learn the ids in it."""
        names = _ID.findall(shown)
        found = re.fullmatch(pattern_of(shown), " ".join(answer.split()))
        assert found, f"$ {line}\n{answer}"
        for name, actual in zip(names, found.groups(), strict=True):
            assert self.ids.setdefault(name, actual) == actual, f"$ {line}\n{name} is another one here:\n{answer}"


def pattern_of(shown: str) -> str:
    """What an answer must look like: words as they are, however folded; ids, times and sizes whatever they are, and
    anything for three dots."""
    return _PART.sub(_loosened, " ".join(shown.split()))


def _loosened(found: re.Match[str]) -> str:
    if found["backup"]:
        return f"({_BACKUP})"
    if found["run"]:
        return f"({_RUN})"
    loose = {"time": _TIME, "size": r"[\d.]+", "dots": ".*?"}
    return next((loose[name] for name in loose if found[name]), re.escape(found[0]))


def typed() -> Iterator[tuple[str, str]]:
    """Each command of the page, and what is shown as its answer."""
    for session in _SESSION.findall(PAGE.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            yield line, shown


def test_the_tutorial_goes_as_it_is_told(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for line, shown in typed():
        stated = _STATUS.search(line)
        status, answer = shell.type(line)
        assert status == (int(stated[1]) if stated else 0), f"$ {line}\n{answer}"
        shell.compare(line, shown, answer)


def test_every_block_of_a_session_is_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(_SESSION.findall(text)) == text.count("```console")
    assert len(list(typed())) > 25
