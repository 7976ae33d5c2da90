"""What a record file is to be judged by: its own records, those of a compressed copy beside it, and what salvage finds.

Whole files are dealt with here, single records in garbage.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from aml.codec.json_array import RecordArray, join_elements, split
from aml.codec.salvage import refuse_torn_elements, salvage
from aml.codec.views import Seen, Unreadable, view_records
from aml.errors import DamagedError
from aml.fs.files import is_there
from aml.ledger.archive import NULL
from aml.model.kinds import KIND_BY_PLURAL, KINDS
from aml.model.record import RecordView
from aml.optimize.garbage import recency
from aml.store.layout import PACKED, RecordFile, record_file
from aml.store.open import Store
from aml.store.read import Content, read_content

#: What becomes of a whole file: an empty one goes, a compressed copy is merged into its record file, a damaged one is
#: replaced by what can be read of it.
EMPTY, MERGED, SALVAGED = "empty_file", "packed_copy", "salvaged_file"


class Step(Struct, frozen=True):
    """What becomes of one whole file, whose original goes to quarantine. ``path`` is inside the store.

    ``records`` are those taken over from it: merged into the record file, or salvaged.
    """

    path: str
    what: str
    reason: str
    records: int = 0


class Source(Struct, frozen=True):
    """The records to judge, and where they come from.

    ``array`` is None where there are no records at all; its first ``own`` elements are those of ``main``, the others of
    ``packed``, the copy beside it. ``steps`` are about both files. ``unchanged`` tells whether the array is that of the
    main file.
    """

    file: RecordFile
    main: Content | None
    packed: Content | None
    array: RecordArray | None
    own: int = 0
    steps: tuple[Step, ...] = ()
    unchanged: bool = True

    @property
    def pins(self) -> tuple[str | None, str | None]:
        """SHA-256 of both files, None where there is none: what a plan holds for."""
        return (None if self.main is None else self.main.sha256, None if self.packed is None else self.packed.sha256)

    @property
    def size(self) -> int:
        """Bytes on disk of both files."""
        return sum(len(one.data) for one in (self.main, self.packed) if one is not None)

    @property
    def replaces_main(self) -> bool:
        """Whether the main file as it is goes to quarantine."""
        return self.main is not None and not self.unchanged


def packed_copy(file: RecordFile) -> RecordFile:
    """The compressed copy that older scripts left beside a record file."""
    return RecordFile(file.agent, file.kind, file.path.with_name(file.path.name + PACKED))


def files_with_copy(store: Store, agent: str) -> tuple[RecordFile, ...]:
    """The record files of an agent, there or not, of which there is a compressed copy."""
    files = (record_file(store.root, agent, kind) for kind in KINDS)
    return tuple(file for file in files if is_there(packed_copy(file).path))


def read_source(store: Store, file: RecordFile, *, with_salvage: bool, main: Content | None = None) -> Source:
    """Read a record file (unless ``main`` is what it holds) and the copy beside it.

    Raises DamagedError where one of them cannot be read and is not to be salvaged, FileAccessError, ChangedError.
    """
    if main is None and is_there(file.path):
        main = read_content(file, store.max_unpacked_bytes)
    copy = packed_copy(file)
    packed = None
    if is_there(copy.path):
        try:
            packed = read_content(copy, store.max_unpacked_bytes)
        except DamagedError as error:
            raise _about_copy(copy, error) from error
    return source_of(file, main, packed, max_bytes=store.max_unpacked_bytes if with_salvage else None)


def source_of(file: RecordFile, main: Content | None, packed: Content | None, *, max_bytes: int | None) -> Source:
    """What to judge, of two contents. ``max_bytes`` bounds what is unpacked for salvage; None: nothing is salvaged."""
    array, steps = _records_of(main, max_bytes) if main is not None else (None, ())
    unchanged = not steps
    own = 0 if array is None else len(array)
    if packed is not None:
        array, more = _merge(array, packed, max_bytes)
        steps, unchanged = (*steps, *more), unchanged and (array is None or len(array) == own)
    return Source(file, main, packed, array, own, steps, unchanged)


def _about_copy(copy: RecordFile, error: DamagedError) -> DamagedError:
    """The error that tells that it is the copy which cannot be read, and not the record file."""
    return DamagedError(f"the compressed copy {copy.path.name} beside it: {error.message}", advice=error.advice)


def _records_of(content: Content, max_bytes: int | None) -> tuple[RecordArray | None, tuple[Step, ...]]:
    """The records of one file, and what becomes of the file if it cannot stay as it is. Raises DamagedError."""
    path = content.file.path_in_store
    if not content.data:
        return None, (Step(path, EMPTY, "it is empty, which the agents' runtime cannot read"),)
    try:
        array = content.array()
        if max_bytes is not None:
            refuse_torn_elements(array)
        return array, ()
    except DamagedError as error:
        found = None if max_bytes is None else salvage(content.data, max_bytes=max_bytes)
        if found is None:
            raise
        reason = error.message
        if found.doubtful:
            told = found.doubtful if found.doubtful.startswith(reason) else f"{reason}; {found.doubtful}"
            reason = f"{told}, so check what was salvaged"
        return split(found.text), (Step(path, SALVAGED, reason, found.records),)


def _merge(
    array: RecordArray | None, packed: Content, max_bytes: int | None
) -> tuple[RecordArray | None, tuple[Step, ...]]:
    """Records with those of a compressed copy added that they lack, or have only in an older version."""
    try:
        found, steps = _records_of(packed, max_bytes)
    except DamagedError as error:
        raise _about_copy(packed.file, error) from error
    new = [] if found is None else _new(found, array if array is not None else split(b"[]"), packed.file.kind)
    if not steps:
        path = packed.file.path_in_store
        steps = (Step(path, MERGED, "agents do not see a copy under that name", len(new)),)
    if new:
        array = split(join_elements(new) if array is None else array.with_inserted([(len(array), one) for one in new]))
    return array, steps


def _new(found: RecordArray, held: RecordArray, kind: str) -> list[bytes]:
    view = KIND_BY_PLURAL[kind].view
    texts = {bytes(element) for element in held.elements}
    newest: dict[object, tuple[float, float]] = {}
    for one in view_records(held, view):
        if isinstance(one, RecordView) and not one.missing:
            newest[_key(one)] = max(recency(one), newest.get(_key(one), recency(one)))
    return [
        bytes(element)
        for element, one in zip(found.elements, view_records(found, view), strict=True)
        if bytes(element) != NULL and bytes(element) not in texts and _is_newer(one, newest)
    ]


def _key(one: RecordView) -> object:
    return (type(one.id), one.ident)


def _is_newer(one: Seen, newest: Mapping[object, tuple[float, float]]) -> bool:
    """Whether a record of a copy is to be merged: its id is not there, or an older version of it, or it cannot tell."""
    if isinstance(one, Unreadable) or one.ident is None or _key(one) not in newest:
        return True
    return not one.missing and recency(one) > newest[_key(one)]
