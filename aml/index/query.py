"""Questions to the index, and what answers them. All filters of a question must fit."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from aml.errors import UsageError
from aml.index.fingerprints import FileName
from aml.index.index import Index
from aml.index.words import match_words
from aml.model.kinds import KINDS
from aml.model.timestamps import to_iso
from aml.store.layout import choose
from aml.store.open import Store

#: More tags than any record carries; each is a value in one statement of SQL.
_MOST_TAGS = 1000
#: Numbers that SQL takes are smaller than this.
_LARGEST = 1 << 62

Sort = Literal["relevance", "value", "last-used", "created"]
SORTS: tuple[str, ...] = get_args(Sort)

#: A kind may be named as one of its records is.
KIND_NAMES = {kind.name: kind.plural for kind in KINDS}

#: Ties go by file and place in it, so that the same store gives the same order however its index came about.
TIES = "f.agent, f.kind, r.start"
_ORDERS: dict[str, str] = {
    "relevance": "hits.rank",
    "value": "r.value DESC",
    "last-used": "r.used DESC NULLS LAST",
    "created": "r.created DESC NULLS LAST",
}
#: What is asked of ``records AS r`` and ``files AS f``, for ``hit`` to read.
COLUMNS = (
    "f.agent, f.kind, r.id, r.tag_names, r.created, r.used, r.success, r.confidence, r.executions, r.value, "
    "r.start, r.length, r.hash"
)


class Query(Struct, frozen=True):
    """Which records: of those agents and kinds (none: all), with every one of the tags and of the words, of at least
    that confidence and success (0 to 1), created or used at ``since`` (seconds since 1970 UTC) or later. What is
    unknown of a record fits no limit. At most ``limit`` of them, the first in the order of ``sort``; None: all."""

    agents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    text: str | None = None
    min_confidence: float | None = None
    min_success: float | None = None
    since: float | None = None
    sort: Sort | None = None
    limit: int | None = None


class Found(Struct, frozen=True):
    """A record by what is known of it: times are ISO 8601 UTC, ``size`` is bytes of its text; null is unknown."""

    agent: str
    kind: str
    id: str | None
    tags: tuple[str, ...]
    created: str | None
    last_used: str | None
    success: float | None
    confidence: float | None
    executions: float | None
    value: float
    size: int


class Place(Struct, frozen=True):
    """Where a record's bytes are: in which file, from where on in its unpacked text, and XXH3 (128 bits) of them."""

    file: FileName
    start: int
    length: int
    hash: bytes


Hit = tuple[Found, Place]


def spelt_out(query: Query) -> Query:
    """The query with lists, and single names, as the tuples that they mean. Raises UsageError for what is no query."""
    names = {name: getattr(query, name) for name in ("agents", "kinds", "tags")}
    spelt = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in names.items()}
    for name, value in spelt.items():
        if not all(isinstance(one, str) for one in value):
            raise UsageError(f"{name} of a query are text, not {value!r}")
    tags = tuple(dict.fromkeys(as_indexed(tag) for tag in spelt["tags"]))
    if len(tags) > _MOST_TAGS:
        raise UsageError(f"{len(tags):,} tags are too many for one query", advice=f"say at most {_MOST_TAGS:,}")
    _check(query)
    return msgspec.structs.replace(query, agents=spelt["agents"], kinds=spelt["kinds"], tags=tags)


def as_indexed(text: str) -> str:
    """A text as the index has it: half a surrogate pair is shown by its escape."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _check(query: Query) -> None:
    if query.text is not None and not isinstance(query.text, str):
        raise UsageError(f"words to search for are text, not {query.text!r}")
    if query.sort is not None and query.sort not in SORTS:
        raise UsageError(f"unknown order {query.sort!r}", advice=f"known: {', '.join(SORTS)}")
    if query.limit is not None and (type(query.limit) is not int or query.limit < 0):
        raise UsageError(f"a limit is a whole number of at least 0, not {query.limit!r}")
    for name in ("min_confidence", "min_success", "since"):
        value = getattr(query, name)
        if value is not None and not (type(value) in (int, float) and abs(value) < _LARGEST):
            raise UsageError(f"{name} is a number, not {value!r}")


def checked(store: Store, query: Query) -> Query:
    """The query with its kinds as the store names them. Raises UsageError for agents and kinds that are not there: a
    misspelt filter must never find everything."""
    query = spelt_out(query)
    if query.agents:
        store.choose_agents(query.agents)
    kinds = tuple(KIND_NAMES.get(kind, kind) for kind in query.kinds)
    choose(kinds, tuple(KIND_NAMES.values()), "kind")
    return msgspec.structs.replace(query, kinds=kinds)


def find(index: Index, query: Query) -> list[Hit]:
    """The records that answer a question. Raises UsageError where it contradicts itself, or this SQLite has no search
    for words."""
    sort = query.sort or ("value" if query.text is None else "relevance")
    if sort == "relevance" and query.text is None:
        raise UsageError("without words to search for, nothing is more relevant", advice="sort by value, or say --text")
    if query.text is not None:
        match_words(index, query.text)
    filters, values = conditions(index, query)
    where = f"WHERE {' AND '.join(filters)}" if filters else ""
    joined = "CROSS JOIN temp.hits AS hits ON hits.hash = r.hash" if query.text is not None else ""
    limit = "" if query.limit is None else f"LIMIT {min(query.limit, _LARGEST)}"
    # all that is put together here is from the tables above, and numbers; joined in this order (which is what CROSS
    # means to SQLite), the records are gone through once and not once for each file
    statement = (
        f"SELECT {COLUMNS} FROM records AS r {joined} CROSS JOIN files AS f ON f.number = r.file {where} "  # noqa: S608
        f"ORDER BY {_ORDERS[sort]}, {TIES} {limit}"
    )
    return [hit(row) for row in index.connection.execute(statement, values)]


def conditions(index: Index, query: Query) -> tuple[list[str], list[object]]:
    """The filters of a query but for its words, as conditions in SQL and the values in them."""
    filters: list[str] = []
    values: list[object] = []
    if query.agents or query.kinds:
        numbers = [known.number for name, known in index.known.items() if is_wanted(name, query)]
        filters.append(f"r.file IN ({', '.join(map(str, numbers))})")
    if query.tags:
        marks = ", ".join("?" for _ in query.tags)
        carried = f"SELECT record FROM tags WHERE tag IN ({marks}) GROUP BY record HAVING count(*) = {len(query.tags)}"  # noqa: S608
        filters.append(f"r.number IN ({carried})")
        values += query.tags
    for column, least in (("r.confidence", query.min_confidence), ("r.success", query.min_success)):
        if least is not None:
            filters.append(f"{column} >= ?")
            values.append(least)
    if query.since is not None:
        filters.append("(r.used >= ? OR r.created >= ?)")
        values += [query.since, query.since]
    return filters, values


def is_wanted(name: FileName, query: Query) -> bool:
    agent, kind = name
    return (not query.agents or agent in query.agents) and (not query.kinds or kind in query.kinds)


def hit(row: Any) -> Hit:
    """What a row of ``COLUMNS`` says."""
    agent, kind, ident, tags, created, used, success, confidence, executions, value, start, length, digest = row
    found = Found(
        agent,
        kind,
        ident,
        () if tags is None else msgspec.json.decode(tags, type=tuple[str, ...]),
        None if created is None else to_iso(created),
        None if used is None else to_iso(used),
        success,
        confidence,
        executions,
        value,
        length,
    )
    return found, Place((agent, kind), start, length, digest)
