"""One record by its id. The same id may be in several agents and kinds, and those are different records."""

from __future__ import annotations

from difflib import get_close_matches

from aml.errors import NotFoundError
from aml.index.index import Index
from aml.index.query import COLUMNS, Hit, Query, as_indexed, conditions, hit

#: How many ids an error names, and among how many it looks for the nearest.
_SHOWN, _CANDIDATES = 3, 50
#: Characters of an id that a message repeats at most.
_LONGEST_SHOWN = 100


def only_one(index: Index, ident: str, where: Query, *, prefix: bool = False) -> Hit:
    """The record of that id (or, with ``prefix``, the beginning of one) among the agents and kinds of ``where``.

    Of several versions in one file it is the newest: the one used last, then the one executed most. Raises
    NotFoundError where there is none, naming the nearest ids, and where there are several, naming their places.
    """
    ident = as_indexed(ident)
    hits = named(index, ident, where)
    if not hits and prefix:
        fitting = _ids_from(index, ident, where, _SHOWN + 1)
        if len(fitting) > 1:
            shown = ", ".join(map(_shown, fitting[:_SHOWN])) + (" and more" if len(fitting) > _SHOWN else "")
            raise NotFoundError(f"several ids begin with {_shown(ident)!r}", advice=f"say more of it: {shown}")
        hits = named(index, fitting[0], where) if fitting else []
    if not hits:
        raise NotFoundError(
            f"there is no record {_shown(ident)!r}{_scope(where)}", advice=_nearest(index, ident, where)
        )
    places = list(dict.fromkeys("/".join(place.file) for _, place in hits))
    if len(places) > 1:
        raise NotFoundError(
            f"the id {_shown(hits[0][0].id or '')!r} is that of several records: {', '.join(places)}",
            advice="name the agent, the kind, or both",
        )
    return hits[0]


def named(index: Index, ident: str, where: Query) -> list[Hit]:
    """All records of that id among the agents and kinds of ``where``, in each file the newest version first."""
    filters, values = conditions(index, where)
    rows = index.connection.execute(
        f"SELECT {COLUMNS} FROM records AS r JOIN files AS f ON f.number = r.file "  # noqa: S608  (no text of a user's)
        f"WHERE {' AND '.join(['r.id = ?', *filters])} "
        "ORDER BY f.agent, f.kind, r.used DESC NULLS LAST, r.executions DESC NULLS LAST, r.start DESC",
        (ident, *values),
    )
    return [hit(row) for row in rows]


def _ids_from(index: Index, prefix: str, where: Query, limit: int) -> list[str]:
    """The first different ids, sorted, that begin with ``prefix``."""
    filters, values = conditions(index, where)
    rows = index.connection.execute(
        "SELECT DISTINCT r.id FROM records AS r "  # noqa: S608  (no text of a user's)
        f"WHERE {' AND '.join(['r.id >= ? AND r.id < ?', 'substr(r.id, 1, ?) = ?', *filters])} ORDER BY r.id LIMIT ?",
        (prefix, prefix + "\U0010ffff", len(prefix), prefix, *values, limit),
    )
    return [row[0] for row in rows]


def _nearest(index: Index, ident: str, where: Query) -> str:
    """The ids that have most of the beginning in common with one that is not there."""
    begin = ident[:_LONGEST_SHOWN]
    fitting, too_long = 0, len(begin) + 1
    while too_long - fitting > 1:
        length = (fitting + too_long) // 2
        fitting, too_long = (length, too_long) if _ids_from(index, begin[:length], where, 1) else (fitting, length)
    candidates = [_shown(one) for one in _ids_from(index, begin[:fitting], where, _CANDIDATES)]
    if candidates:
        return f"nearest: {', '.join(get_close_matches(begin, candidates, n=_SHOWN, cutoff=0.0))}"
    return "aml query finds records by tags, words and figures"


def _shown(ident: str) -> str:
    """An id for a message, which may not be as long as an id may be."""
    return ident if len(ident) <= _LONGEST_SHOWN else f"{ident[:_LONGEST_SHOWN]}..."


def _scope(where: Query) -> str:
    return "".join(f" in {' or '.join(names)}" for names in (where.agents, where.kinds) if names)
