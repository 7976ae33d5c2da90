"""Sums over all records of an index, for figures about a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from aml.index.index import Index


class FileFigures(Struct, frozen=True):
    """A record file as the index knows it: bytes on disk (0 where the system tells nothing of it) and unpacked (None
    where it cannot be unpacked), how many records it holds, and how many elements that are none (``odd``), of which
    ``too_new`` have a schema that is newer than AML knows. ``problem`` is why nothing of it can be read, if so."""

    agent: str
    kind: str
    size: int
    unpacked: int | None
    records: int
    odd: int
    too_new: int
    problem: str | None


class Group(Struct, frozen=True):
    """How many records of one file have these figures in common, and the bytes of their texts.

    ``value`` counts steps of a tenth from 0; ``created`` and ``used`` count the moments that they are not later than,
    None where they are unknown.
    """

    agent: str
    kind: str
    inactive: bool
    schema: str
    value: int
    created: int | None
    used: int | None
    records: int
    size: int


#: Steps of value: tenths.
VALUE_STEPS = 10


def file_figures(index: Index) -> list[FileFigures]:
    """Every record file, by agent and kind."""
    rows = index.connection.execute(
        "SELECT agent, kind, size, unpacked, records, odd, too_new, problem FROM files ORDER BY agent, kind"
    )
    return [FileFigures(*row) for row in rows]


def group_records(index: Index, moments: Sequence[float]) -> Iterator[Group]:
    """All records, counted by what they have in common. ``moments`` are seconds since 1970 UTC."""
    created, used = (" + ".join(f"({column} <= {float(one)!r})" for one in moments) for column in ("created", "used"))
    # file by file, so that what is sorted never grows with the store; all that is put together here are numbers
    statement = (
        f"SELECT inactive, schema, min(CAST(value * {VALUE_STEPS} AS INTEGER), {VALUE_STEPS - 1}), {created}, {used}, "  # noqa: S608
        "count(*), sum(length) FROM records WHERE number BETWEEN ? AND ? GROUP BY 1, 2, 3, 4, 5"
    )
    schemas: dict[int, str] = dict(index.connection.execute("SELECT number, version FROM schemas"))
    files = index.connection.execute("SELECT agent, kind, first, records FROM files WHERE records").fetchall()
    for agent, kind, first, count in files:
        rows = index.connection.execute(statement, (first, first + count - 1))
        for inactive, schema, *figures in rows:
            yield Group(agent, kind, bool(inactive), schemas[schema], *figures)
