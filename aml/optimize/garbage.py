"""Which elements of a record file are garbage: pure functions over its records.

Garbage is what no agent can use: nulls, older versions of an id that is there twice, records that do not state what
every record must. Records that differ in nothing but their id are told, and left alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec
from msgspec import Struct, field, structs

from aml.codec.json_array import MAX_DEPTH, RecordArray, is_deeper_than
from aml.codec.views import Seen, Unreadable, has_odd_parts, view_records
from aml.ledger.archive import NULL
from aml.ledger.history import RemovedKeys
from aml.ledger.removal import Removal
from aml.ledger.runs import RecordKey
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.record import RecordView
from aml.model.timestamps import to_iso

#: Every rule, in the order in which garbage goes where the loss budget does not allow all of it.
RULES = ("null_element", "duplicate_id", "without_id", "without_agent", "without_timestamp")
NULL_ELEMENT, DUPLICATE_ID = RULES[:2]


class Pins(Struct, frozen=True):
    """Ids and tags (without regard to case) of records that always stay."""

    ids: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()

    def hold(self, view: RecordView) -> bool:
        """Whether a record stays whatever is wrong with it."""
        if self.ids and view.ident in self.ids:
            return True
        return bool(self.tags) and bool(view.tags) and any(tag.casefold() in self.tags for tag in view.tag_names)


class Scan(Struct):
    """What there is of garbage in one file, before the loss budget.

    ``records`` counts its elements without nulls, ``odd`` are elements that are never judged: ordinal and reason, and
    ``too_new`` counts those of them that have a schema newer than AML knows. ``free`` are the ordinals of garbage that
    is no loss: nulls, and versions in place of which a newer one has come from a compressed copy.
    ``copies`` are ids of records that are equal but for the id, ``shared`` the ordinals of records that carry one id.
    ``first_of`` maps the ordinal of a piece of garbage without an id of its own to that of the first that is identical.
    """

    agent: str
    kind: str
    records: int = 0
    garbage: list[Removal] = field(default_factory=list)
    pinned: int = 0
    odd: list[tuple[int, str]] = field(default_factory=list)
    too_new: int = 0
    free: set[int] = field(default_factory=set)
    copies: list[tuple[str, ...]] = field(default_factory=list)
    present: set[RecordKey] = field(default_factory=set)
    shared: dict[str, tuple[int, ...]] = field(default_factory=dict)
    first_of: dict[int, int] = field(default_factory=dict)


def scan_records(agent: str, kind: str, array: RecordArray, own: int, pins: Pins, removed: RemovedKeys) -> Scan:
    """Look for garbage among the records of one file.

    The first ``own`` elements are the file's own, the others come from a compressed copy beside it. ``removed`` are
    keys that earlier runs removed from it.
    """
    scan = Scan(agent, kind)
    seen = view_records(array, KIND_BY_PLURAL[kind].view)
    missing = _judge_alone(scan, seen, array)
    _judge_duplicates(scan, seen, array, frozenset(missing), own)
    _withdraw(scan, seen, array, pins)
    scan.records = len(array) - sum(one.rule == NULL_ELEMENT for one in scan.garbage)
    scan.copies = _copies(seen, array, frozenset(one.ordinal for one in scan.garbage))
    for keys in removed.carried(seen, array):
        scan.present |= keys
    scan.first_of = _identical(scan.garbage, array)
    return scan


def _judge_alone(scan: Scan, seen: Sequence[Seen], array: RecordArray) -> list[int]:
    """What is garbage by itself; returns the ordinals of records that do not state what they must."""
    missing = []
    for ordinal, view in enumerate(seen):
        if isinstance(view, Unreadable):
            if array.raw(ordinal) == NULL:
                scan.garbage.append(Removal(ordinal, None, NULL_ELEMENT, "it is null", {}, 0.0))
                scan.free.add(ordinal)
            else:
                scan.odd.append((ordinal, view.reason))
                scan.too_new += view.too_new
        elif view.missing and not has_odd_parts(array.raw(ordinal), type(view)):
            names = view.missing
            missing.append(ordinal)
            reason = f"it states no {' or '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)}"
            scan.garbage.append(
                Removal(ordinal, view.ident, f"without_{names[0]}", reason, {"missing": ", ".join(names)}, view.value)
            )
    return missing


def _judge_duplicates(scan: Scan, seen: Sequence[Seen], array: RecordArray, missing: frozenset[int], own: int) -> None:
    """Of records with the same id, the newer one stays. What does not state what it must takes no part."""
    idents = [None if isinstance(view, Unreadable) else view.ident for view in seen]
    if len(set(idents)) == len(idents):
        return
    carriers: defaultdict[str, list[int]] = defaultdict(list)
    for ordinal, ident in enumerate(idents):
        if ident is not None:
            carriers[ident].append(ordinal)
    scan.shared = {ident: tuple(ordinals) for ident, ordinals in carriers.items() if len(ordinals) > 1}
    for ident, ordinals in scan.shared.items():
        for rivals in _rivals([one for one in ordinals if one not in missing], seen):
            newest = max(rivals, key=lambda one: (recency(seen[one]), one < own, one))
            for ordinal in rivals:
                if ordinal != newest:
                    scan.garbage.append(_duplicate(ident, ordinal, newest, seen, array))
                    if newest >= own > ordinal:
                        scan.free.add(ordinal)
    scan.garbage.sort(key=lambda one: one.ordinal)


def _rivals(ordinals: Sequence[int], seen: Sequence[Seen]) -> list[list[int]]:
    """Records with the same text for an id, parted by what the id really is: 1 and "1" are two."""
    groups: defaultdict[type, list[int]] = defaultdict(list)
    for ordinal in ordinals:
        view = seen[ordinal]
        # half a surrogate pair is shown by its escape, which may also be spelt out: such ids are left alone
        if isinstance(view, RecordView) and not (type(view.id) is str and "\\u" in view.id):
            groups[type(view.id)].append(ordinal)
    return list(groups.values())


def recency(view: Seen) -> tuple[float, float]:
    """How new a version of a record is: when it was last used (else created), then how often it was executed."""
    if isinstance(view, Unreadable):
        raise TypeError("what cannot be read has no id to be compared by")
    moment = view.last_used if view.last_used is not None else view.created
    return (float("-inf") if moment is None else moment, view.executions or 0.0)


def _duplicate(ident: str, ordinal: int, newest: int, seen: Sequence[Seen], array: RecordArray) -> Removal:
    older, newer = recency(seen[ordinal]), recency(seen[newest])
    if array.raw(ordinal) == array.raw(newest):
        reason = "the same record is there twice"
    elif older[0] != newer[0]:
        reason = "another version of it was used later"
    elif older[1] != newer[1]:
        reason = "another version of it was executed more often"
    else:
        reason = "another version of it is as new"
    view = seen[ordinal]
    value = 0.0 if isinstance(view, Unreadable) else view.value
    figures = {"last_used": _shown(older[0]), "kept_last_used": _shown(newer[0])}
    return Removal(ordinal, ident, DUPLICATE_ID, reason, dict(figures), value)


def _shown(moment: float) -> str | None:
    return None if moment == float("-inf") else to_iso(moment)


def _withdraw(scan: Scan, seen: Sequence[Seen], array: RecordArray, pins: Pins) -> None:
    """Take off the list what is pinned, and what is nested too deeply to be read back."""
    stays = []
    for one in scan.garbage:
        view = seen[one.ordinal]
        if isinstance(view, RecordView) and pins.hold(view):
            scan.pinned += 1
        elif is_deeper_than(array.elements[one.ordinal], MAX_DEPTH):
            scan.odd.append((one.ordinal, f"it is nested more than {MAX_DEPTH} levels deep"))
        else:
            stays.append(one)
    scan.garbage = stays
    scan.odd.sort()


def _copies(seen: Sequence[Seen], array: RecordArray, gone: frozenset[int]) -> list[tuple[str, ...]]:
    """Ids of records that are byte for byte the same but for their ids."""
    by_time: defaultdict[object, list[int]] = defaultdict(list)
    for ordinal, view in enumerate(seen):
        if isinstance(view, RecordView) and type(view.id) is str and ordinal not in gone:
            by_time[view.timestamp if type(view.timestamp) is str else None].append(ordinal)
    by_rest: defaultdict[bytes, dict[str, None]] = defaultdict(dict)
    for ordinals in by_time.values():
        for ordinal in ordinals if len(ordinals) > 1 else ():
            view = seen[ordinal]
            if isinstance(view, RecordView):
                rest = array.raw(ordinal).replace(msgspec.json.encode(view.id), b'""', 1)
                by_rest[hashlib.sha256(rest).digest()][view.id] = None
    return [tuple(ids) for ids in by_rest.values() if len(ids) > 1]


def _identical(garbage: Sequence[Removal], array: RecordArray) -> dict[int, int]:
    """Garbage that its id does not tell from other garbage: the ordinal of the first that is identical to each."""
    times = Counter(one.id for one in garbage)
    firsts: dict[bytes, int] = {}
    return {
        one.ordinal: firsts.setdefault(hashlib.sha256(array.elements[one.ordinal]).digest(), one.ordinal)
        for one in garbage
        if one.id is None or times[one.id] > 1
    }


def with_twins(scan: Scan, chosen: frozenset[int]) -> tuple[Removal, ...]:
    """The garbage at the ordinals ``chosen``, each piece with the ordinals of records that carry its id and stay."""

    going = [one for one in scan.garbage if one.ordinal in chosen]
    idents = {one.id for one in going if one.id is not None}
    staying = {
        ident: tuple(ordinal for ordinal in scan.shared[ident] if ordinal not in chosen)
        for ident in idents.intersection(scan.shared)
    }
    return tuple(structs.replace(one, twins=staying.get(one.id or "", ())) for one in going)
