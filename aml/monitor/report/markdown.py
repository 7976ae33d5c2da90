"""The report as Markdown, for the summary of a CI job: tables, and details that unfold."""

from __future__ import annotations

import re

from aml.model.printable import printable
from aml.monitor.report.commands import parted
from aml.monitor.report.content import Style, Table, minute
from aml.monitor.report.data import ReportData
from aml.monitor.report.health import urgent, where_to_type
from aml.monitor.report.memory import key_figures
from aml.monitor.report.sections import all_sections

#: Sections that are open; the others unfold.
_OPEN = frozenset({"health", "agents", "backups"})
#: Rows of a table in a summary, whose size is limited.
_MOST_ROWS = 50
#: What Markdown, or the HTML in it, would take for its own.
_MARKS = re.compile(r"([\\`*_\[\]|~$])")
#: What GitHub takes for an address, and where it is broken up.
_LINKS = re.compile(r"(:|www)(//|\.)", re.IGNORECASE)
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def markdown_report(data: ReportData) -> str:
    """The whole report."""
    of = f"{code(data.store)}, {minute(data.time)} UTC, AML {plain(data.version)}"
    lines = [f"## {plain(data.overall.sentence)}", "", f"{plain(data.overall.more)} {of}.", ""]
    first, left = urgent(data)
    for one in first:
        mend = f"  \n  {advice_words(one.finding.advice)}" if one.finding.advice else ""
        lines.append(f"- **{one.finding.level.word}** {code(one.finding.check)} {plain(one.words)}{mend}")
    lines += [f"- and {left:,} more, under Health"] if left else []
    lines += ["", plain(where_to_type(data))]
    figures = key_figures(data)
    lines += ["", _line([plain(one.name) for one in figures]), _line([":--"] * len(figures))]
    lines += [_line([f"**{plain(one.words)}**" for one in figures]), _line([plain(one.note) for one in figures])]
    for section in all_sections(data):
        opened = section.key in _OPEN
        title = f"### {plain(section.title)}" if opened else ""
        head = [title] if opened else ["<details>", f"<summary>{_escaped(section.title)}</summary>"]
        lines += ["", *head, ""]
        lines += [advice_words(words) + "\n" for words in (section.lead, section.empty) if words]
        lines += [f"- {plain(fact.name)}: {plain(fact.words)}{f' {advice_words(fact.advice)}' if fact.advice else ''}"
                  for fact in section.facts]  # fmt: skip
        for table in section.tables:
            lines += ["", *_table(table)]
        lines += [] if opened else ["", "</details>"]
    if data.notes:
        lines += ["", "### What could not be told", "", *(f"- {plain(note)}" for note in data.notes)]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    lines = [
        _line([plain(one.words) for one in table.headings]),
        _line(["--:" if one.style == "number" else ":--" for one in table.headings]),
    ]
    lines += [
        _line([_cell(words, one.style) for words, one in zip(row, table.headings, strict=True)])
        for row in table.rows[:_MOST_ROWS]
    ]
    left = len(table.rows) - _MOST_ROWS
    return [*lines, *(["", f"{left:,} more rows are left out."] if left > 0 else [])]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(words: str, style: Style) -> str:
    if style == "advice":
        return advice_words(words)
    return code(words) if words and style in ("code", "name", "word") else plain(words)


def advice_words(advice: str) -> str:
    """Advice, with the commands in it shown as such."""
    return "".join(code(words) if is_command else plain(words) for words, is_command in parted(advice))


def plain(words: str) -> str:
    """Words that mean nothing to Markdown."""
    return _LINKS.sub(r"\1\\\2", _MARKS.sub(r"\\\1", _escaped(words)))


def code(words: str) -> str:
    """Words as code, in which nothing has a meaning."""
    text = printable(words).strip(" ") or " "
    if _MARKS.search(text) is None:
        return f"`{text}`"
    # between backticks, a backslash before a bar would still end a cell of a table
    return f"<code>{_MARKS.sub(lambda mark: f'&#{ord(mark[0])};', _escaped(text))}</code>"


def _escaped(words: str) -> str:
    return printable(words).translate(_ENTITIES)
