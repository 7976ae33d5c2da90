"""Tables on a terminal: in columns while they fit, and readable in every width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aml.cli.layout import Table, laid_out, width_of

_WORDS = st.text("abc01é語 -", max_size=30)
_FIGURES = st.integers(0, 99_999).map(str)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    numeric = draw(st.lists(st.booleans(), min_size=1, max_size=6))
    headers = [draw(st.sampled_from(["", "agent", "last used"])) for _ in numeric]
    row = st.tuples(*(_FIGURES if right else _WORDS for right in numeric))
    return Table(headers, draw(st.lists(row, max_size=6)), numeric)


def _shown(table: Table, width: int) -> list[str]:
    return [line.words for line in laid_out(table, width)]


@given(tables(), st.integers(20, 120))
def test_no_word_of_a_table_is_lost_or_broken_in_any_width(table: Table, width: int) -> None:
    shown = " ".join(_shown(table, width)).split()
    missing = [word for row in table.rows for cell in row for word in cell.split() if word not in shown]
    assert missing == []


@given(tables(), st.integers(20, 120))
def test_only_a_line_with_a_word_too_long_is_wider_than_the_terminal(table: Table, width: int) -> None:
    if len(table.headers) > 2:
        longest = max((width_of(word) for row in table.rows for cell in row for word in cell.split()), default=0)
        heads = [width_of("  ".join(row[:place])) for row in table.rows for place in range(1, len(row) + 1)]
        widest = max((width_of(line) for line in _shown(table, width)), default=0)
        assert widest <= max(width, longest + len("    last used:"), max(heads, default=0)) or not table.rows


BUDGETS = Table(
    ["agent", "kind", "records", "to remove"],
    [["backend", "patterns", "74", "21"], ["backend", "decisions", "19", "10"], ["total", "", "93", "31"]],
    [False, False, True, True],
)


def test_what_fits_stands_in_columns() -> None:
    assert _shown(BUDGETS, 39) == [
        "agent    kind       records  to remove",
        "backend  patterns        74         21",
        "backend  decisions       19         10",
        "total                    93         31",
    ]


def test_a_name_that_several_rows_have_in_common_stands_once_above_them() -> None:
    assert _shown(BUDGETS, 34) == [
        "agent",
        "  kind       records  to remove",
        "backend",
        "  patterns        74         21",
        "  decisions       19         10",
        "total             93         31",
    ]


def test_what_fits_in_no_columns_stands_behind_its_headers() -> None:
    assert _shown(BUDGETS, 24) == [
        "backend",
        "  kind: patterns",
        "  records: 74",
        "  to remove: 21",
        "  kind: decisions",
        "  records: 19",
        "  to remove: 10",
        "total",
        "  records: 93",
        "  to remove: 31",
    ]


def test_text_in_the_last_column_goes_on_below_itself() -> None:
    table = Table(
        ["", "backup", "because"], [["keep", "20261121T1721", "one of the last three; newest of all"]], [False] * 3
    )
    assert _shown(table, 48) == [
        "      backup         because",
        "keep  20261121T1721  one of the last three;",
        "                     newest of all",
    ]


def test_columns_without_any_content_go_first() -> None:
    table = Table(["backup", "tags", "size"], [["20261121T1721", "", "1 KiB"]], [False, False, True])
    assert _shown(table, 21) == ["backup          size", "20261121T1721  1 KiB"]


def test_wide_letters_and_those_that_join_others_keep_columns_straight() -> None:
    table = Table(["agent", "records"], [["語彙", "1"], ["e\u0301te\u0301", "2"], ["👩\u200d🔬", "3"]], [False, True])
    lines = _shown(table, 80)
    assert {width_of(line) for line in lines} == {len("agent  records")}
