"""What ``aml query`` and ``aml show`` print."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from aml.cli.invocation import Invocation
from aml.cli.text import count, encoded_json, escaped_json, printable, write_table
from aml.index.query import Found
from aml.model.undecodable import UNDECODABLE
from aml.workflows.index import QueryReport, ShowReport

_SUMMARY_CHARACTERS = 60
_DAY_CHARACTERS = 10


class ShownRecord(Found, frozen=True):
    """One record: what is known of it, ``record`` itself, and ``text``, its exact text."""

    record: Any
    text: str


def write_query(invocation: Invocation, report: QueryReport) -> None:
    """A table, and below it whether there is more."""
    if report.records:
        headers = ["id", "agent", "kind", "value", "success", "confidence", "last used", "about"]
        numeric = [False, False, False, True, True, True, False, False]
        rows = [
            [
                one.id or "(none)",
                one.agent,
                one.kind,
                _figure(one.value),
                _figure(one.success),
                _figure(one.confidence),
                (one.last_used or "unknown")[:_DAY_CHARACTERS],
                _shortened(one.summary),
            ]
            for one in report.records
        ]
        write_table(invocation.out, headers, rows, numeric=numeric, color=invocation.color)
        invocation.out.write("\n")
    more = "; there are more: see --limit" if report.more else ""
    if not invocation.quiet:
        invocation.out.write(f"query: {count(len(report.records), 'record')}{more}\n")


def write_lines(invocation: Invocation, report: QueryReport) -> None:
    """One JSON object a line; what a terminal would obey is escaped as JSON does it."""
    for one in report.records:
        invocation.out.write(escaped_json(encoded_json(one), only_ascii=invocation.is_narrow) + "\n")


def write_ids(invocation: Invocation, report: QueryReport) -> None:
    """One id a line; records without one have none to print."""
    for one in report.records:
        if one.id is not None:
            invocation.out.write(printable(one.id) + "\n")


def write_record(invocation: Invocation, report: ShowReport) -> None:
    """What is known of the record, and then itself, spread over lines."""
    facts = [
        ("agent", report.found.agent),
        ("kind", report.found.kind),
        ("value", _figure(report.found.value)),
        ("success", _figure(report.found.success)),
        ("confidence", _figure(report.found.confidence)),
        ("executions", "unknown" if report.found.executions is None else f"{report.found.executions:,g}"),
        ("created", report.found.created or "unknown"),
        ("last used", report.found.last_used or "unknown"),
        ("tags", ", ".join(report.found.tags) or "none"),
    ]
    write_table(
        invocation.out,
        ["record", printable(report.found.id or "")],
        facts,
        numeric=[False, False],
        color=invocation.color,
    )
    invocation.out.write("\n")
    for line in _spread(report.record.raw).split("\n"):
        invocation.out.write(printable(line) + "\n")


def write_raw(invocation: Invocation, report: ShowReport) -> None:
    """The record's bytes, and no other."""
    buffer: Any = getattr(invocation.out, "buffer", None)
    if buffer is None:
        invocation.out.write(report.record.raw.decode())
    else:
        invocation.out.flush()
        buffer.write(report.record.raw)
        buffer.flush()


def record_document(report: ShowReport) -> ShownRecord:
    """What ``--json`` says of a record."""
    raw = report.record
    return ShownRecord(**structs.asdict(report.found), record=raw.decoded(), text=raw.raw.decode())


def _spread(raw: bytes) -> str:
    """The record over several lines; as it is where it is too odd for that. Lines of text end only where JSON's do."""
    try:
        return msgspec.json.format(raw, indent=2).decode()
    except UNDECODABLE:
        return raw.decode()


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SUMMARY_CHARACTERS else text[: _SUMMARY_CHARACTERS - 3] + "..."
