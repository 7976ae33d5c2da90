"""One record by its id. The same id may be in several agents and kinds, and those are different records."""

from __future__ import annotations

from difflib import get_close_matches

from aml.errors import NotFoundError
from aml.index.index import Index
from aml.index.query import COLUMNS, Hit, Query, conditions, hit

#: How many ids an error names, and among how many it looks for the nearest.
_SHOWN, _CANDIDATES = 3, 50


def only_one(index: Index, ident: str, where: Query, *, prefix: bool = False) -> Hit:
    """The record of that id (or, with ``prefix``, the beginning of one) among the agents and kinds of ``where``.

    Of several versions in one file it is the newest: the one used last, then the one executed most. Raises
    NotFoundError where there is none, naming the nearest ids, and where there are several, naming their places.
    """
    hits = named(index, ident, where)
    if not hits and prefix:
        fitting = _ids_from(index, ident, where, _SHOWN + 1)
        if len(fitting) > 1:
            shown = ", ".join(fitting[:_SHOWN]) + (" and more" if len(fitting) > _SHOWN else "")
            raise NotFoundError(f"several ids begin with {ident!r}", advice=f"say more of it: {shown}")
        hits = named(index, fitting[0], where) if fitting else []
    if not hits:
        raise NotFoundError(f"there is no record {ident!r}{_scope(where)}", advice=_nearest(index, ident, where))
    places = list(dict.fromkeys("/".join(place.file) for _, place in hits))
    if len(places) > 1:
        raise NotFoundError(
            f"the id {hits[0][0].id!r} is that of several records: {', '.join(places)}",
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
    for length in range(len(ident) - 1, -1, -1):
        candidates = _ids_from(index, ident[:length], where, _CANDIDATES)
        if candidates:
            return f"nearest: {', '.join(get_close_matches(ident, candidates, n=_SHOWN, cutoff=0.0))}"
    return "aml query finds records by tags, words and figures"


def _scope(where: Query) -> str:
    return "".join(f" in {' or '.join(names)}" for names in (where.agents, where.kinds) if names)
