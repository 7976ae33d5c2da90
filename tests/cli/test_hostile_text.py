"""What agents wrote is shown, never obeyed: no command's text holds what a terminal or a browser would act on."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aml.cli.invocation import Streams
from aml.cli.main import run
from tests.cli.running import aml
from tests.contract.pruning import fresh, stale
from tests.support import hostile
from tests.support.records import NOW, Record, decision, solution
from tests.support.stores import write_array

#: Colours, clearing the screen, a title, a link, a C1 control, a bell, a return over the line, right-to-left writing,
#: a zero-width joiner, markup of rich, Markdown and HTML, a formula, an odd half of a pair.
EVIL = (
    "\x1b[31mred\x1b[2J \x1b]0;title\x07 \x1b]8;;http://evil\x1b\\ \x9b31m \r over \u202eright\u200d \x00 "
    "[bold]markup[/bold] [link=http://evil]x[/link] |a|b| `c` <script>alert(1)</script><img src=x onerror=alert(1)> "
    "{{x}} =1+1 %s \ud83d"
)
_OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def _evil(record: Any) -> Any:
    """The same record with the text in place of every text that is nobody's key or time."""
    if isinstance(record, dict):
        kept = ("id", "agent", "timestamp", "created", "lastUsed", "reviewedAt")
        return {key: value if key in kept else _evil(value) for key, value in record.items()}
    if isinstance(record, list):
        return [_evil(one) for one in record]
    return EVIL if isinstance(record, str) else record


def _records(ident: str) -> list[Record]:
    return [
        _evil(fresh(f"f{ident} {EVIL}", tags=["api"])) | {EVIL: EVIL},
        _evil(stale(f"s{ident} {EVIL}")),
        _evil(fresh("f1")) | {"version": EVIL},
        _evil(stale("t1")) | {"agent": EVIL},
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that hostile.build makes, with evil records, agents, files of others, backups, alerts and a log of runs."""
    folder = hostile.build(tmp_path_factory.mktemp("text") / "template")
    memory = folder / "project" / ".loom" / "memory"
    name = "b\x1b[31m\r\u202e<b>[bold]x"
    for agent in ("alpha", name):
        write_array(memory / agent / "patterns.json", [*_records("1"), *_records("2"), None])
        write_array(memory / agent / "solutions.json", [_evil(solution(id=f"x {EVIL}", agent=agent))])
        write_array(memory / agent / "decisions.json", [_evil(decision(id=f"y {EVIL}", agent=agent))])
    (memory / name / "odd\x1b[31m\n\x9b.txt").write_text(EVIL, encoding="utf-8", errors="backslashreplace")
    (memory / name / "patterns.json.gz").write_bytes(b"[\x1b")
    (memory / "beta" / "patterns.json").write_bytes(b'["\x1b[31m", \x9b')
    return folder / "project"


@pytest.mark.parametrize("verbose", [False, True], ids=["plain", "verbose"])
def test_no_command_shows_what_a_terminal_would_obey(project: Path, verbose: bool) -> None:
    shown = []
    said = 0
    for number, line in enumerate(hostile.commands(project.parent)):
        words = [*line.split(), *(["-v"] if verbose and "-v" not in line else [])]
        patience = {"AML_LOCKS_TIMEOUT_SECONDS": "0.1", "AML_BACKUP_RETRIES": "0"}
        moment = NOW.timestamp() + 60 * (number + 1000 * verbose)
        answer = aml(project, *words, now=moment, environment=patience)
        assert "Traceback" not in answer.err
        # programs read the other forms, in which a name must be what it is; JSON escapes what a terminal would obey
        is_text = "--json" not in line and "prometheus" not in line
        for text in (answer.out, answer.err) if is_text else (answer.err,):
            said += "red" in text or "[bold]x" in text
            shown += [f"aml {line}: {found.group()!r} in {_around(text, found)!r}" for found in _OBEYED.finditer(text)][
                :2
            ]
    assert not shown, "\n".join(shown)
    assert said > 10, "the evil text is shown at all"


class _Screen(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "words",
    [("query", "--json"), ("query", "--jsonl"), ("monitor", "metrics", "--format", "prometheus")],
    ids=" ".join,
)
def test_what_is_for_programs_is_as_harmless_on_a_terminal(project: Path, words: tuple[str, ...]) -> None:
    told = []
    for out in (_Screen(), io.StringIO()):
        streams = Streams(out, io.StringIO(), io.StringIO())
        status = run(words, streams=streams, environment={}, clock=lambda: NOW.timestamp() + 86_400.0, folder=project)
        assert status == 3, "some of it cannot be read"
        told.append(out.getvalue())
    screen, pipe = told
    assert "[bold]x" in screen
    assert not _OBEYED.search(screen)
    if "prometheus" not in words:
        loads = (
            json.loads if "--json" in words else lambda text: [json.loads(line) for line in text.split("\n") if line]
        )
        assert loads(screen) == loads(pipe)


def _around(text: str, found: re.Match[str]) -> str:
    return text[max(0, found.start() - 40) : found.end() + 40]


def test_no_page_holds_an_element_that_an_agent_wrote(project: Path) -> None:
    answer = aml(project, "monitor", "report", "--html", "page.html", now=NOW.timestamp() + 3600 * 24)
    assert answer.status == 0, answer.err
    page = (project / "page.html").read_text(encoding="utf-8")
    for element in ("<script>alert", "<img", "<b>", "onerror=alert(1)>"):
        assert element not in page
    assert not _OBEYED.search(page.replace("\t", ""))
    markdown = aml(project, "monitor", "report", "--format", "markdown", now=NOW.timestamp() + 3600 * 24).out
    assert "<script>" not in markdown
    assert "<b>" not in markdown
