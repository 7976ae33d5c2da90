"""Reports for tests: of a real store, and the same with texts of somebody else's in all places that hold such."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

from msgspec import structs

from aml.monitor.alerts import Acknowledged, Alert
from aml.monitor.findings import Finding, Level
from aml.monitor.health import CheckResult
from aml.monitor.metrics import AgentFigures
from aml.monitor.report.data import BackupPoint, ReportData
from aml.monitor.report.health import overall_of
from aml.store.open import open_store
from aml.workflows.report import make_report
from tests.support.records import NOW

#: Names that agents can have, and that would do harm where they are taken for anything else.
ODD_NAMES = (
    "<img src=x onerror=alert(1)>",
    "a'b\"c&amp;<b>",
    "|`pipe`|\\|[x](y)",
    "סוכן-ראשי",
    "عميل \u202egnihton",
    "前端-开发者" * 12,
    "x" * 200,
    "family 👩‍👩‍👧‍👦 of agents",
    "line\nbreak\ttab\x1b[31m",
)


def report_of(memory: Path, *, now: float | None = None, record: bool = False) -> ReportData:
    """The report of a real store, at NOW unless told otherwise."""
    return make_report(open_store(memory), now=NOW.timestamp() if now is None else now, record=record)


def with_texts(base: ReportData, texts: Sequence[str]) -> ReportData:
    """The same report with these texts as names of agents, subjects, messages, advice, tags, notes and paths."""
    findings = tuple(
        Finding("integrity", text, level, text, text)
        for text, level in zip(texts, [*Level, *[Level.WARNING] * len(texts)], strict=False)
    )
    worst = max((one.level.word for one in findings), default="ok", key=lambda word: Level[word.upper()])
    broken = CheckResult("integrity", "each file is whole", worst, findings=findings)
    health = structs.replace(base.health, checks=(broken, *base.health.checks[1:]))
    metrics = structs.replace(base.metrics, agents=tuple(_agent(text, place) for place, text in enumerate(texts)))
    return structs.replace(
        base,
        store="/srv/" + "/".join(text.replace("/", "") for text in texts[:2]),
        health=health,
        overall=overall_of(health, metrics.counts.records, len(texts)),
        metrics=metrics,
        alerts=tuple(_alert(text) for text in texts),
        backups=tuple(_backup(text) for text in texts),
        notes=tuple(texts),
    )


def _agent(name: str, place: int) -> AgentFigures:
    return AgentFigures(name, 10_000 - place, 500, 30_000, 12, 1, 0, ())


def _alert(text: str) -> Alert:
    when = NOW.isoformat()
    seen = Acknowledged(when, text)
    return Alert(text, "integrity", text, "error", "error", text, text, 1.0, 0.0, "files", when, when, 2, seen)


def _backup(text: str) -> BackupPoint:
    return BackupPoint(text, NOW.isoformat(), "full", None, 3, 1000, 100, (text,), True)


class Reader(HTMLParser):
    """What a browser takes from a page: the tags with their attributes, and the text of each element."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


_TOKEN = re.compile(r"\\[!-/:-@\[-`{-~]|[^|]|\|")


def markdown_tables(text: str) -> Iterator[list[list[str]]]:
    """The tables of a Markdown text as rows of cells, parted as GitHub does it: at each bar that is not escaped."""
    table: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("| "):
            table.append(_cells(line))
        elif table:
            yield table
            table = []


def _cells(line: str) -> list[str]:
    cells, cell = [], ""
    for token in _TOKEN.findall(line.strip().removeprefix("|")):
        if token == "|":  # noqa: S105 - a bar
            cells.append(cell.strip())
            cell = ""
        else:
            cell += token
    assert not cell, "a row of a table ends with a bar"
    return cells
