"""Reports quote what agents and others wrote: whatever that is, each form stays what it is, and says it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.model.printable import printable
from aml.monitor.report.data import ReportData
from aml.monitor.report.markdown import code, markdown_report, plain
from aml.monitor.report.page import html_report
from aml.monitor.report.text import in_lines, text_report, wide
from aml.monitor.report.watch import watch_lines
from tests.support.records import pattern
from tests.support.reports import ODD_NAMES, Reader, markdown_tables, report_of, with_texts
from tests.support.stores import make_store

_EVERY_CHARACTER = st.characters(exclude_categories=())
_MARKUP = st.text(alphabet="<>&\"'|`\\*_[]()#~$-:/ \n\tab\x1b\u202e", max_size=30)
TEXTS = st.lists(
    st.text(_EVERY_CHARACTER, min_size=1, max_size=40) | _MARKUP.filter(bool) | st.sampled_from(ODD_NAMES),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    folder: Path = tmp_path_factory.mktemp("report")
    return report_of(make_store(folder, {"alpha": {"patterns": [pattern(id=f"p{n}") for n in range(3)]}}))


@given(texts=TEXTS)
def test_the_page_holds_each_text_as_text_and_no_tag_of_anybody_else(base: ReportData, texts: list[str]) -> None:
    page = html_report(with_texts(base, texts))
    ordinary = Reader(html_report(with_texts(base, ["plain"] * len(texts))))
    reader = Reader(page)
    # as many elements of each kind, whatever they say; commands in advice are the only ones that come of a text
    names = [name for name, _ in reader.tags if name not in ("code", "bdi", "p", "ul", "li", "span")]
    assert names == [name for name, _ in ordinary.tags if name not in ("code", "bdi", "p", "ul", "li", "span")]
    assert not any(key.startswith("on") or (key == "href" and "data:" not in str(value))
                   for _, attributes in reader.tags for key, value in attributes.items())  # fmt: skip
    told = "".join(reader.texts)
    assert all(printable(text) in told for text in texts)


@given(texts=TEXTS)
def test_the_page_is_also_whole_as_xml_and_can_be_written_as_utf_8(base: ReportData, texts: list[str]) -> None:
    page = html_report(with_texts(base, texts)).encode()
    root = ElementTree.fromstring(page)  # noqa: S314 - our own
    told = "".join(root.itertext())
    assert all(printable(text) in told for text in texts)
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(ids) == len(set(ids))


@given(texts=TEXTS)
def test_tables_in_markdown_keep_their_columns(base: ReportData, texts: list[str]) -> None:
    report = markdown_report(with_texts(base, texts))
    assert report.isprintable() or set(report) - set("\n") == {one for one in report if one.isprintable()}
    tables = list(markdown_tables(report))
    assert len(tables) >= 7
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
    assert report.count("<details>") == report.count("</details>")


@given(text=st.text(_EVERY_CHARACTER, max_size=40) | _MARKUP)
def test_words_in_markdown_cannot_open_a_tag_or_end_a_cell(text: str) -> None:
    assert "<" not in plain(text)
    assert code(text).startswith(("`", "<code>"))
    for told in (plain(text), code(text)):
        (table,) = markdown_tables(f"| a | {told} | b |\n")
        assert len(table[0]) == 3


@given(texts=TEXTS)
def test_no_line_of_the_text_is_wider_than_80_columns(base: ReportData, texts: list[str]) -> None:
    lines = text_report(with_texts(base, texts)).splitlines()
    assert max(map(wide, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    # a program for mail would obey these
    assert not any(line.startswith(("~", ".", "From ")) for line in lines)


@given(words=st.text(alphabet="ab 中é\u0301-", max_size=60), width=st.integers(2, 30), indent=st.integers(0, 8))
def test_words_in_lines_are_all_there_and_fit(words: str, width: int, indent: int) -> None:
    lines = in_lines(words, width + indent, indent=indent)
    assert max(map(wide, lines)) <= width + indent
    assert "".join("".join(lines).split()) == "".join(words.split())
    assert all(line.startswith(" " * indent) for line in lines[1:])


@given(texts=TEXTS, width=st.integers(20, 200))
def test_no_line_of_the_live_view_is_wider_than_the_terminal(base: ReportData, texts: list[str], width: int) -> None:
    lines = watch_lines(with_texts(base, texts), None, width, "every 5 s; ctrl-c ends")
    assert max(wide(line.words) for line in lines) <= width
    assert all(line.words.isprintable() for line in lines)
    assert lines[-1].words.endswith("ends")
