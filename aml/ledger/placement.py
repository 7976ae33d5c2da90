"""Where removed records belong in a file as it is now. Pure."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from msgspec import Struct

from aml.codec.json_array import RecordArray
from aml.codec.views import Unreadable, view_records
from aml.ledger.archive import ArchivedRecord
from aml.model.kinds import KIND_BY_PLURAL

#: SHA-256 of a removed record -> SHA-256 of what stood before and after it (None at an end of the file).
Neighbours = Mapping[str, tuple[str | None, str | None]]


class Placement(Struct):
    """Where each record goes (positions in the file as it is now), which are there already, and which must not."""

    insertions: list[tuple[int, ArchivedRecord]] = []
    present: list[ArchivedRecord] = []
    conflicts: list[ArchivedRecord] = []


def place(
    array: RecordArray, kind: str, archived: Sequence[ArchivedRecord], ids: tuple[str, ...], others: Neighbours
) -> Placement:
    """Where the ``archived`` records (those with one of ``ids``, or all) belong in ``array``.

    ``others`` are the neighbours of records that other runs removed from the file. Pure.

    A record goes after the neighbour that stood before it, or else before the one that stood after it, or else to
    where its old ordinal should be found now, as in a file that was migrated since. An id that is there with content
    that nobody archived was created anew: that is a conflict.
    """
    hashes = [hashlib.sha256(bytes(element)).hexdigest() for element in array.elements]
    seen = view_records(array, KIND_BY_PLURAL[kind].view)
    by_id: defaultdict[str, list[str]] = defaultdict(list)
    for one, sha256 in zip(seen, hashes, strict=True):
        if not isinstance(one, Unreadable) and one.ident is not None:
            by_id[one.ident].append(sha256)
    there = still_there(hashes, archived)
    anchors = _anchors(hashes, archived, there, others)
    anew = _created_anew(by_id, archived, others)
    placement = Placement([], [], [])
    for record in sorted(archived, key=lambda one: one.ordinal):
        if ids and record.id not in ids:
            continue
        if record.ordinal in there:
            placement.present.append(record)
        elif record.id in anew:
            placement.conflicts.append(record)
        else:
            placement.insertions.append((anchors[record.ordinal], record))
    placement.insertions.sort(key=lambda one: (one[0], one[1].ordinal))
    return placement


def _created_anew(
    by_id: Mapping[str, Sequence[str]], archived: Sequence[ArchivedRecord], others: Neighbours
) -> frozenset[str | None]:
    """Ids that are there with content that no run has archived and that did not stay either.

    ``by_id`` has the SHA-256 of what is there.
    """
    known = {record.sha256 for record in archived}.union(others)
    for record in archived:
        known.update(record.twins)
    return frozenset(ident for ident, found in by_id.items() if not known.issuperset(found))


def still_there(hashes: Iterable[str], archived: Sequence[ArchivedRecord]) -> frozenset[int]:
    """Ordinals of archived records that a file holds (again), told from identical ones that never left it."""
    spare = Counter(hashes)
    spare.subtract({record.sha256: record.twins.count(record.sha256) for record in archived})
    found = set()
    for record in sorted(archived, key=lambda one: one.ordinal):
        if spare[record.sha256] > 0:
            spare[record.sha256] -= 1
            found.add(record.ordinal)
    return frozenset(found)


def _anchors(
    hashes: Sequence[str], archived: Sequence[ArchivedRecord], there: Container[int], others: Neighbours
) -> dict[int, int]:
    """For each archived ordinal, the position in the file before which its record belongs."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for position, sha256 in enumerate(hashes):
        places[sha256].append(position)
    by_ordinal = {record.ordinal: record for record in archived}
    gone = sorted(record.ordinal for record in archived if record.ordinal not in there)

    def nearest(sha256: str, ordinal: int) -> int:
        """Of several identical elements, the one nearest to where that ordinal should be found now."""
        return min(places[sha256], key=lambda position: abs(position - _expected(ordinal, gone)))

    def is_gone(ordinal: int) -> bool:
        """Whether that neighbour went by the same run; what is identical to it elsewhere in the file is another."""
        return ordinal in by_ordinal and ordinal not in there

    anchors: dict[int, int] = {}
    for ordinal in sorted(by_ordinal):
        record = by_ordinal[ordinal]
        before = _follow(record.before, places, others, back=True)
        if is_gone(ordinal - 1) and ordinal - 1 in anchors:
            anchors[ordinal] = anchors[ordinal - 1]
        elif record.before is None:
            anchors[ordinal] = 0
        elif before is not None:
            anchors[ordinal] = nearest(before, ordinal - 1) + 1
        else:
            continue
        anchors[ordinal] = _past_predecessors(hashes, anchors[ordinal], record, others)
    for ordinal in sorted(by_ordinal, reverse=True):
        if ordinal not in anchors:
            after = _follow(by_ordinal[ordinal].after, places, others, back=False)
            if is_gone(ordinal + 1) and ordinal + 1 in anchors:
                anchors[ordinal] = anchors[ordinal + 1]
            elif after is not None:
                anchors[ordinal] = nearest(after, ordinal + 1)
            else:
                anchors[ordinal] = anchors.get(ordinal + 1, min(_expected(ordinal, gone), len(hashes)))
    return anchors


def _expected(ordinal: int, gone: Sequence[int]) -> int:
    """Where that ordinal is found now, unless other records have come or gone since; ``gone`` is sorted."""
    return ordinal - bisect_left(gone, ordinal)


def _follow(sha256: str | None, places: Container[str], others: Neighbours, *, back: bool) -> str | None:
    """From a neighbour on to the nearest one that is in the file now, through what other runs removed."""
    for _ in range(len(others) + 1):
        if sha256 is None or sha256 in places:
            return sha256
        sha256 = others.get(sha256, (None, None))[0 if back else 1]
    return None


def _past_predecessors(hashes: Sequence[str], position: int, record: ArchivedRecord, others: Neighbours) -> int:
    """``position``, moved past records that another undo put back and that stood before ``record``."""
    if record.sha256 in record.twins:
        return position  # what says that it stands before this one may mean the one that stayed
    present = {record.sha256, *hashes} if hashes[position : position + 1] and hashes[position] in others else ()
    while position < len(hashes) and hashes[position] in others:
        reached = _follow(others[hashes[position]][1], present, others, back=False)
        if reached != record.sha256:
            break
        position += 1
    return position
