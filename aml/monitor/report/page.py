"""The report as one HTML file: it needs no network and no script, in light and dark, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

from msgspec import structs

from aml.model.kinds import KINDS
from aml.model.timestamps import parse_timestamp
from aml.model.units import count, size
from aml.monitor.metrics import AgentFigures
from aml.monitor.removals import Removal
from aml.monitor.report.cells import (
    advice_words,
    card,
    cell,
    facts_list,
    folded,
    grid_of,
    level_word,
    sentence_words,
    sign,
    table,
    tone_of,
)
from aml.monitor.report.content import Heading, Section, minute, project_of
from aml.monitor.report.data import ReportData
from aml.monitor.report.health import alerts_section, health_section, passed_table, urgent, where_to_type
from aml.monitor.report.markup import Markup, tag
from aml.monitor.report.memory import (
    age_columns,
    agents_section,
    distribution_section,
    growth_section,
    key_figures,
    marked,
    schema_section,
    value_columns,
)
from aml.monitor.report.plots import Event, Part, Point, bar, columns, legend, over_time, stretches
from aml.monitor.report.styles import style_sheet
from aml.monitor.report.upkeep import (
    MOST_REMOVALS,
    backup_section,
    by_number,
    reading_section,
    removal_section,
    rule_words,
    runs_section,
)

#: Nothing is fetched, whatever a record says: the browser is told so too.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
#: Characters of a figure from which on it is written smaller.
_LONG = 10
_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#1d4f91'/>"
    "<path d='M7 22l6-8 5 5 7-10' fill='none' stroke='#fff' stroke-width='3'/></svg>"
)


def html_report(data: ReportData) -> str:
    """The whole page."""
    name = project_of(data.store)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="generator", content=f"AML {data.version}"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{name}: {data.overall.sentence}"),
        tag("link", rel="icon", href=f"data:image/svg+xml,{quote(_ICON)}"),
        tag("style", Markup(style_sheet())),
    )
    body = tag("body", _top(data, name), tag("main", *_parts(data)), _foot(data))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _parts(data: ReportData) -> tuple[Markup | None, ...]:
    return (
        _state(data),
        _tiles(data),
        _growth(data),
        _agents(data),
        _distribution(data),
        _removals(data),
        _health(data),
        _plain(alerts_section(data)),
        _backups(data),
        _pair(
            _plain(runs_section(data)),
            tag("div", _plain(schema_section(data)), _plain(reading_section(data))),
            look="pair top",
        ),
        _notes(data),
    )


def _top(data: ReportData, name: str) -> Markup:
    return tag(
        "header",
        tag("p", "Memory of agents", class_="eyebrow"),
        tag("h1", tag("bdi", name)),
        tag(
            "p",
            tag("span", data.store, class_="mono"),
            " · ",
            tag("span", f"{minute(data.time)} UTC", class_="whole"),
            class_="where",
        ),
        class_="top",
    )


def _foot(data: ReportData) -> Markup:
    return tag("footer", tag("p", f"Made by AML {data.version} at {data.time}. Times are UTC, sizes in units of 1024."))


def _state(data: ReportData) -> Markup:
    (first, left), where = urgent(data), where_to_type(data)
    items = [
        tag(
            "li",
            level_word(one.finding.level.word),
            tag("span", tag("span", one.finding.check, class_="check"), " ", sentence_words(one.words), class_="what"),
            tag("span", advice_words(one.finding.advice), class_="mend") if one.finding.advice else None,
        )
        for one in first
    ]
    below = tag("a", f"{left:,} more, under Health", href="#health")
    rest = tag(
        "div",
        tag("ul", *items, class_="found") if items else None,
        tag("p", below, class_="small") if left else None,
        tag("p", sentence_words(where), class_="small") if where else None,
        class_="rest",
    )
    words = tag("div", tag("h2", data.overall.sentence, id="state-heading"), tag("p", data.overall.more))
    look = f"card state {tone_of(data.overall.state)}"
    return tag(
        "section", sign(data.overall.state), words, rest, class_=look, id="state", aria_labelledby="state-heading"
    )


def _tiles(data: ReportData) -> Markup:
    tiles = (
        tag(
            "div",
            tag("dt", one.name),
            tag("dd", one.words, class_="figure long" if len(one.words) > _LONG else "figure"),
            tag("dd", one.note, class_="note") if one.note else None,
            class_="tile",
        )
        for one in key_figures(data)
    )
    return tag("dl", *tiles, class_="tiles")


def _growth(data: ReportData) -> Markup:
    section, removals = growth_section(data), marked(data)
    if section.empty:
        return card(section, facts_list(section.facts))
    leads = ["Dotted marks are runs that removed records."] if removals else []
    sizes = _points([(one.time, one.bytes) for one in data.history])
    records = _points([(one.time, one.records) for one in data.history])
    events = [
        Event(one.time, f"{run.operation}: {count(run.records, 'record')} removed, {minute(run.started)} UTC")
        for run in removals
        for one in _points([(run.started, run.records)])
    ]
    if len(stretches(sizes)) > 1:
        leads.append("A broken line: nothing was measured in that time.")
    section = structs.replace(section, lead=" ".join(leads))
    draw = partial(over_time, events=events, start=sizes[0].time)
    disk = draw("disk", "Bytes on disk over time", sizes, unit="bytes", told=size)
    plots = [tag("div", tag("h3", "Bytes on disk"), disk)]
    if len(records) > 1:
        plot = draw("records", "Records over time", records, unit="count", told=_number)
        plots.append(tag("div", tag("h3", "Records"), plot))
    return card(
        section,
        _pair(*plots) if len(plots) > 1 else plots[0],
        facts_list(section.facts, across=True),
        *_tables(section),
    )


def _points(measured: Sequence[tuple[str, int | None]]) -> list[Point]:
    """Points of what was measured, where the time can be read and there is a figure."""
    times = ((parse_timestamp(time), value) for time, value in measured)
    return [Point(time, float(value)) for time, value in times if time is not None and value is not None]


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _agents(data: ReportData) -> Markup:
    section = agents_section(data)
    if not section.tables:
        return card(section)
    one = section.tables[0]
    bars = Heading("bytes by kind", "text", minor=True)
    headings = (one.headings[0], bars, *one.headings[1:])
    agents = data.metrics.agents[: len(one.rows)]
    highest = max(agent.bytes for agent in agents)
    rows = [
        [cell(row[0], headings[0]), _bar_of(agent, highest), *map(cell, row[1:], headings[2:])]
        for row, agent in zip(one.rows, agents, strict=True)
    ]
    shown, rest = rows[: one.shown], rows[one.shown :] if one.shown else []
    return card(
        section,
        legend([kind.plural for kind in KINDS] + ["other files"]),
        grid_of(headings, shown, look="stack agents"),
        folded(f"{len(rest):,} more agents", grid_of(headings, rest, look="stack agents")) if rest else None,
        class_="card long",
    )


def _bar_of(agent: AgentFigures, highest: float) -> Markup:
    sizes = {one.kind: one.bytes for one in agent.kinds}
    parts = [
        Part(color, f"{kind.plural}: {size(sizes.get(kind.plural, 0))}", sizes.get(kind.plural, 0))
        for color, kind in enumerate(KINDS, start=1)
    ]
    parts.append(Part(len(KINDS) + 1, f"other files: {size(agent.documents_bytes)}", agent.documents_bytes))
    return tag("td", bar(parts, highest), class_="bars less")


def _distribution(data: ReportData) -> Markup:
    section = distribution_section(data)
    if section.empty:
        return card(section)
    used = tuple(one for one in age_columns(data.metrics.used) if one.label != "?" or one.count)
    ages = columns("ages", "Records by time since their last use", used, noun="records")
    values = columns("values", "Records by value", value_columns(data), noun="records", color=2)
    return card(
        section,
        _pair(
            tag("div", tag("h3", "Time since last use"), ages, table(section.tables[0])),
            tag("div", tag("h3", "Value"), values, table(section.tables[1])),
        ),
    )


def _removals(data: ReportData) -> Markup:
    section = removal_section(data)
    shown = data.removals[:MOST_REMOVALS]
    highest = max((number for one in shown for number in one.rules.values()), default=0)
    return card(section, *(_removal(one, highest) for one in shown), class_="card long")


def _removal(one: Removal, highest: int) -> Markup:
    told = [
        f"{minute(one.started)} UTC",
        f"{count(one.records, 'record')} of {count(one.agents, 'agent')}",
        f"{size(one.bytes_before)} to {size(one.bytes_after)}",
    ]
    if one.files:
        told.append(count(one.files, "whole file"))
    if one.put_back:
        told.append(f"{one.put_back:,} put back since")
    if one.uncounted:
        told.append(f"{one.uncounted:,} not looked into")
    state = level_word(one.state) if one.state != "done" else None
    head = tag("div", tag("h3", one.operation), state, tag("span", " · ".join(told), class_="soft"), class_="head")
    headings = (Heading("rule"), Heading("records", "number"), Heading("share"))
    rows = [
        [
            tag("td", rule_words(rule)),
            cell(f"{number:,}", headings[1]),
            tag("td", bar([Part(1, f"{number:,}", number)], highest), class_="bars"),
        ]
        for rule, number in by_number(one.rules)
    ]
    grid = tag("table", tag("tbody", *(tag("tr", *cells) for cells in rows)), class_="rules") if rows else None
    undo = tag("p", tag("code", f"aml prune undo {one.run}"), class_="small") if one.records > one.put_back else None
    return tag("div", head, grid, undo, class_="run")


def _health(data: ReportData) -> Markup:
    section = health_section(data)
    return card(section, *_tables(section), table(passed_table(data)), class_="card long")


def _backups(data: ReportData) -> Markup:
    section = backup_section(data)
    return card(section, facts_list(section.facts, across=True), *_tables(section), class_="card long")


def _tables(section: Section) -> tuple[Markup, ...]:
    return tuple(table(one) for one in section.tables)


def _plain(section: Section) -> Markup:
    return card(section, facts_list(section.facts), *_tables(section))


def _pair(*two: Markup, look: str = "pair") -> Markup:
    return tag("div", *two, class_=look)


def _notes(data: ReportData) -> Markup | None:
    if not data.notes:
        return None
    section = Section("notes", "What could not be told", "")
    return card(section, tag("ul", *(tag("li", sentence_words(one)) for one in data.notes)))
