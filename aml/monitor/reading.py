"""Every file of a store read and judged, one after the other: whether it is whole, what it holds, who can read it.

Nothing of a file is kept but what is said of it, so that memory does not grow with the store.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import UNSET, Struct, field

from aml.codec.json_array import DamagedArrayError, RecordArray, split
from aml.codec.views import Unreadable, is_utf8, view_records
from aml.errors import AmlError, DamagedError, FileAccessError
from aml.fs.files import is_there
from aml.ledger.history import AgentHistory, RemovedKeys
from aml.ledger.runs import RecordKey
from aml.model.collector import no_collections
from aml.model.kinds import KIND_BY_FILE_NAME, Kind
from aml.model.schema import is_too_new, version_by_marks
from aml.model.undecodable import UNDECODABLE
from aml.monitor.runtime_schema import ValidRecord, valid_records, why_refused
from aml.monitor.survey import Role, StoreFile
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Content, read_ahead, read_content

#: What is read and judged.
JUDGED = (Role.RECORDS, Role.DOCUMENT, Role.PACKED)

#: Files under this size (bytes) are read more quickly than a thread is told to.
_SMALL_BYTES = 1 << 16

_ANY = msgspec.json.Decoder(msgspec.Raw)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: How many of the records with one fault are named, and how many odd elements.
_NAMED, NAMED_ODD = 5, 10
#: Of files larger than this (bytes), records are decoded so many bytes at a time.
_LARGE_BYTES, _PART_BYTES = 1 << 23, 1 << 20


class Refused(Struct):
    """Records that the runtime would refuse for one reason: how many, and positions (from 0) and ids of the first."""

    count: int = 0
    first: list[tuple[int, str | None]] = field(default_factory=list)


class FileFacts(Struct):
    """What is known of one file once it was read.

    ``damage`` is why it is no whole JSON of its kind, ``error`` why it could not be read at all. ``records`` counts the
    elements of an array, ``odd`` those that are no records (``first_odd``: position and reason), of which ``too_new``
    have a schema newer than AML knows; ``versions`` counts the others. ``refused`` is what of it the runtime would not
    take, by reason; ``whole_refused`` why it takes nothing of the file. ``came_back`` counts records removed before.
    """

    file: StoreFile
    form: str = ""
    damage: str | None = None
    advice: str = ""
    error: AmlError | None = None
    records: int = 0
    odd: int = 0
    first_odd: list[tuple[int, str]] = field(default_factory=list)
    too_new: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    refused: dict[str, Refused] = field(default_factory=dict)
    whole_refused: str | None = None
    came_back: int = 0

    def add_odd(self, position: int, reason: str) -> None:
        self.odd += 1
        if len(self.first_odd) < NAMED_ODD:
            self.first_odd.append((position, reason))


def read_files(store: Store, files: Sequence[StoreFile], history: Mapping[str, AgentHistory]) -> tuple[FileFacts, ...]:
    """What each of ``files`` holds, but of those that have just gone; ``history`` by agent tells what was removed."""
    facts = {}
    with no_collections():
        for file, content in _contents(store, files):
            if not isinstance(content, FileAccessError) or is_there(store.root / file.path):
                facts[file.path] = _judged(file, content, history.get(file.folder))
            del content
    return tuple(facts[file.path] for file in files if file.path in facts)


def _contents(store: Store, files: Sequence[StoreFile]) -> Iterator[tuple[StoreFile, Content | AmlError]]:
    """The content of each file, or why there is none; the large ones first, which a thread reads ahead."""
    limit = store.max_unpacked_bytes
    large = [file for file in files if file.size >= _SMALL_BYTES]
    ahead = read_ahead([_source(store, file) for file in large], limit, hashed=False)
    for file, (_, content) in zip(large, ahead, strict=True):
        yield file, content
        del content
    for file in files:
        if file.size < _SMALL_BYTES:
            try:
                content = read_content(_source(store, file), limit)
                content.prepare(hashed=False)
            except AmlError as error:
                yield file, error
            else:
                yield file, content


def _source(store: Store, file: StoreFile) -> RecordFile:
    return RecordFile(file.folder, file.name, store.root / file.path)


def _judged(file: StoreFile, content: Content | AmlError, history: AgentHistory | None) -> FileFacts:
    facts = FileFacts(file)
    if isinstance(content, DamagedError):
        facts.damage, facts.advice = content.message, content.advice
    elif isinstance(content, AmlError):
        facts.error = content
    else:
        facts.form = content.form
        kind = KIND_BY_FILE_NAME.get(file.name) if file.role is Role.RECORDS else None
        if kind is None:
            facts.damage, facts.whole_refused = _judge_json(content.text)
        else:
            _judge_records(facts, content.text, kind, history)
    return facts


def _judge_json(text: bytes) -> tuple[str | None, str | None]:
    """Why a text is no whole JSON, if so; else why the runtime, which is stricter, would not read it, if so."""
    if not is_utf8(text):
        return "it holds bytes that are no UTF-8", None
    try:
        _ANY.decode(text)
    except UNDECODABLE:
        pass
    else:
        return None, None
    plain = text.removeprefix(_BYTE_ORDER_MARK).decode()
    constants: list[str] = []
    try:
        json.loads(plain, parse_int=len, parse_constant=constants.append)
    except json.JSONDecodeError as error:
        if not plain.strip(" \t\r\n"):
            return "it is empty", None
        return f"it is no whole JSON: what is wrong begins at line {error.lineno}, column {error.colno}", None
    except RecursionError:
        return None, None
    if text.startswith(_BYTE_ORDER_MARK):
        return None, "it begins with a byte-order mark"
    return None, f"it holds {constants[0]}, which is no JSON" if constants else None


def _judge_records(facts: FileFacts, text: bytes, kind: Kind, history: AgentHistory | None) -> None:
    removed = history.of(kind.plural) if history is not None else RemovedKeys()
    is_small = len(text) <= _LARGE_BYTES
    came_back: set[RecordKey] = set()
    if is_small and is_utf8(text) and _judge_at_once(facts, text, kind, removed, came_back):
        facts.came_back = len(came_back)
        return
    try:
        array = split(text)
    except DamagedArrayError as error:
        stand = f"; {error.readable:,} records stand whole before that" if error.readable else ""
        facts.damage = f"{error.message}{stand}"
        return
    facts.damage, facts.whole_refused = _judge_json(text)
    if facts.damage is None:
        for part in [array] if is_small else _parts(array):
            if is_small or not _judge_at_once(facts, part.text, kind, removed, came_back):
                _judge_one_by_one(facts, part, kind)
                came_back |= _carried(part, kind, removed)
        facts.came_back = len(came_back)


def _parts(array: RecordArray) -> Iterator[RecordArray]:
    """Arrays of some elements each: a record that was decoded takes several times its bytes."""
    some: list[bytes] = []
    size = 0
    for element in array.elements:
        some.append(bytes(element))
        size += len(some[-1])
        if size > _PART_BYTES:
            yield RecordArray(b"[" + b",".join(some) + b"]", some)
            some, size = [], 0
    if some:
        yield RecordArray(b"[" + b",".join(some) + b"]", some)


def _judge_at_once(facts: FileFacts, text: bytes, kind: Kind, removed: RemovedKeys, came_back: set[RecordKey]) -> bool:
    """Judge an array of which the runtime would take every record; False where that cannot be said at once."""
    valid = valid_records(text, kind)
    if valid is None:
        return False
    _judge_valid(facts, valid)
    if removed.keys and _may_carry(valid, removed):
        came_back |= _carried(split(text), kind, removed)
    return True


def _judge_valid(facts: FileFacts, records: list[ValidRecord]) -> None:
    first = facts.records
    facts.records += len(records)
    plain = [one for one in records if one.version is None and one.metadata is None]
    tagged = sum(one.tags is not UNSET and one.active is not UNSET for one in plain)
    facts.versions.update({"1.0.0": len(plain) - tagged, "1.1.0": tagged})
    if len(plain) == len(records):
        return
    for position, one in enumerate(records, first):
        if one.version is None and one.metadata is None:
            continue
        if is_too_new(one.version):
            facts.add_odd(position, f"its schema version {one.version} is newer than this AML")
            facts.too_new += 1
            continue
        has_both = one.tags is not UNSET and one.active is not UNSET
        facts.versions[version_by_marks(one.version, isinstance(one.metadata, dict), has_both)] += 1


def _judge_one_by_one(facts: FileFacts, array: RecordArray, kind: Kind) -> None:
    first = facts.records
    facts.records += len(array)
    seen = zip(view_records(array, kind.view), array.elements, strict=True)
    for position, (view, element) in enumerate(seen, first):
        if isinstance(view, Unreadable):
            facts.add_odd(position, view.reason)
            facts.too_new += view.too_new
        else:
            facts.versions[view.schema_version] += 1
        reason = why_refused(element, kind)
        if reason is not None:
            refused = facts.refused.setdefault(reason, Refused())
            refused.count += 1
            if len(refused.first) < _NAMED:
                refused.first.append((position, None if isinstance(view, Unreadable) else view.ident))


def _may_carry(records: list[ValidRecord], removed: RemovedKeys) -> bool:
    idents = {key.id for key in removed.keys}
    return any(one.id in idents for one in records)


def _carried(array: RecordArray, kind: Kind, removed: RemovedKeys) -> set[RecordKey]:
    """The records of an array that were removed by earlier runs."""
    if not removed.keys:
        return set()
    return set().union(*removed.carried(view_records(array, kind.view), array))
