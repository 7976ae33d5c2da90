"""Archives: where a record goes before it leaves the store.

``archives/<agent>/<kind>-<run>.jsonl.gz`` beside the store holds one JSON object a line for each record removed from
one file by one run: why it went, where it stood, and its exact text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from aml.codec.compression import pack_lines, unpack
from aml.codec.views import Unreadable, view_record
from aml.errors import DamagedError
from aml.fs.access import explained
from aml.fs.durable import make_private_folder, sync_folder, write_durably
from aml.fs.files import read_regular
from aml.ledger.state import prepare_folder
from aml.model.record import RecordView
from aml.model.undecodable import UNDECODABLE
from aml.store.open import Store

#: Archives are AML's own files, but a damaged one must still not take all memory: so many times what a record file may
#: unpack to, and so much (bytes), since the text of a record takes more room in there.
_UNPACKED_SHARE, _UNPACKED_SLACK = 2, 1 << 26

#: An element that holds nothing; the only one that is archived without being a record.
NULL = b"null"


class ArchivedRecord(msgspec.Struct, frozen=True):
    """One removed record.

    ``ordinal`` is its position in the file, ``before`` and ``after`` the SHA-256 of its neighbours there (None at an
    end), ``twins`` the SHA-256 of other records with the same id that stayed: all of them with the first removed record
    of that id, those identical to it with the others. ``value`` is its score from 0 to 1, ``text`` the record verbatim.
    """

    run: str
    agent: str
    kind: str
    id: str | None
    rule: str
    reason: str
    figures: dict[str, float | bool | str | None]
    ordinal: int
    sha256: str
    before: str | None
    after: str | None
    text: str
    twins: tuple[str, ...] = ()
    value: float = 0.0

    @property
    def raw(self) -> bytes:
        return self.text.encode()


def prepare_archives(store: Store, agents: Sequence[str]) -> None:
    """Make the folders that archives of these agents go to, and have all of them on disk. Raises FileAccessError.

    Synced even where they exist: a run that died may have made them a moment before a power cut.
    """
    prepare_folder(store.keep)
    for agent in agents:
        make_private_folder(store.keep / "archives" / agent)
    for folder in (store.keep / "archives", store.keep, store.keep.parent):
        with explained("write", folder):
            sync_folder(folder)


def pack_archive(records: Iterable[ArchivedRecord]) -> bytes:
    """Removed records as an archive holds them; they are taken one by one."""
    encode = msgspec.json.Encoder().encode
    return pack_lines(encode(record) for record in records)


def write_archive(store: Store, name: str, packed: bytes) -> None:
    """Put an archive on disk for good, in a folder that is prepared.

    Raises FileAccessError; the store must not change before this returns.
    """
    write_durably(store.keep / name, packed)


def read_archive(store: Store, name: str) -> list[ArchivedRecord]:
    """The records of an archive. Raises DamagedError where any line is not what was written, FileAccessError."""
    path = store.keep / name
    data = read_regular(path)
    failures: tuple[type[Exception], ...] = (DamagedError, *UNDECODABLE)
    try:
        text = unpack(data, max_bytes=_UNPACKED_SHARE * store.max_unpacked_bytes + _UNPACKED_SLACK)
        records = [msgspec.json.decode(line, type=ArchivedRecord) for line in text.splitlines()]
    except failures as error:
        advice = error.advice if isinstance(error, DamagedError) else ""
        raise _damaged(path, str(error), advice) from error
    if not records:
        raise _damaged(path, "it holds no records")
    for record in records:
        is_null = record.id is None and record.raw == NULL
        if not is_null and isinstance(view_record(record.raw, RecordView), Unreadable):
            raise _damaged(path, f"the text of record {record.id} is no JSON object")
        if hashlib.sha256(record.raw).hexdigest() != record.sha256:
            raise _damaged(path, f"the text of record {record.id} does not fit its SHA-256")
    return records


def _damaged(path: Path, reason: str, advice: str = "") -> DamagedError:
    return DamagedError(
        f"the archive {path} is damaged: {reason}", advice=advice or "restore that file from a backup of its folder"
    )
