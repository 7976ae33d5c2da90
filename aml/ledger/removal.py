"""Taking records out of one locked file: archived first, then cut, each record that stays byte for byte as it was."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from aml.codec.json_array import Element, RecordArray, split
from aml.errors import ChangedError
from aml.fs.durable import remove_durably
from aml.ledger.archive import ArchivedRecord, pack_archive, write_archive
from aml.ledger.runs import RecordKey, RunFile, archive_name
from aml.store.layout import RecordFile
from aml.store.open import Store


class Removal(Struct, frozen=True):
    """One record that goes: its position, and what its archive is to say of it. ``value`` is its score from 0 to 1.

    ``twins`` are the positions of records with the same id that stay.
    """

    ordinal: int
    id: str | None
    rule: str
    reason: str
    figures: dict[str, float | bool | str | None]
    value: float
    twins: tuple[int, ...] = ()


class Removed(Struct, frozen=True):
    """What was taken out of a file: the archive that holds it, and the records as the journal knows them.

    ``shared`` are their ids that other records carry as well, ``copies`` those of which an identical one stays.
    """

    archive: str | None = None
    keys: tuple[RecordKey, ...] = ()
    shared: tuple[str, ...] = ()
    copies: tuple[RecordKey, ...] = ()

    @classmethod
    def of(cls, file: RunFile) -> Removed:
        """What the journal says was taken out of a file."""
        return cls(file.archive, tuple(file.removed), tuple(file.shared), tuple(file.copies))

    def journal_entry(
        self, agent: str, kind: str, bytes_before: int, bytes_after: int, used_allowance: bool
    ) -> RunFile:
        """The same for the journal; nothing that was not taken out has used the allowance of a small agent."""
        return RunFile(
            agent,
            kind,
            archive=self.archive,
            removed=list(self.keys),
            shared=list(self.shared),
            copies=list(self.copies),
            bytes_before=bytes_before,
            bytes_after=bytes_after,
            used_allowance=bool(self.keys) and used_allowance,
        )


class Cut(Struct, frozen=True):
    """Records to be taken out of a file by a run: those at the ordinals ``gone``, which ``removals`` describe.

    Text and archive are made by themselves, so that one can be written, and freed, before the other is there.
    """

    file: RecordFile
    array: RecordArray
    gone: Collection[int]
    removals: Iterable[Removal]
    run: str

    @property
    def name(self) -> str:
        """The archive's."""
        return archive_name(self.file.agent, self.file.kind, self.run)

    def text(self) -> bytes:
        """The text without those records. Raises ChangedError where the others would not read back as they are."""
        going = frozenset(self.gone)
        text = self.array.without(going)
        check_elements([one for ordinal, one in enumerate(self.array.elements) if ordinal not in going], text)
        return text

    def archive(self) -> tuple[bytes, Removed]:
        """The archive of those records, packed, and what the journal is to know of them."""
        keys: list[RecordKey] = []
        shared: list[str] = []
        copies: list[RecordKey] = []

        def noted() -> Iterator[ArchivedRecord]:
            for record in _archived(self.file, self.array, self.removals, self.run):
                keys.append(RecordKey.of(record.id, record.sha256))
                if record.id is not None and record.twins:
                    shared.append(record.id)
                if record.sha256 in record.twins:
                    copies.append(keys[-1])
                yield record

        packed = pack_archive(noted())
        return packed, Removed(self.name, tuple(keys), tuple(shared), tuple(copies))


def remove_records(store: Store, cut: Cut, put: Callable[[bytes], int]) -> tuple[Removed, int]:
    """Archive what ``cut`` takes out, and ``put`` the text without it.

    ``put`` replaces the file, under its lock, and returns its bytes on disk, which are returned as well. Raises
    AmlError; ChangedError means that nothing was written, and then there is no archive either.
    """
    text = cut.text()
    packed, removed = cut.archive()
    write_archive(store, cut.name, packed)
    with archive_taken_back(store, cut.name):
        after = put(text)
    return removed, after


@contextmanager
def archive_taken_back(store: Store, name: str) -> Iterator[None]:
    """Around what replaces a file: where that is called off with ChangedError, its archive goes again."""
    try:
        yield
    except ChangedError:
        # called off before the file was touched: this archive holds nothing that the store does not
        remove_durably(store.keep / name)
        raise


def check_elements(expected: Sequence[Element], text: bytes) -> None:
    """Before anything is written: raise ChangedError unless ``text`` holds exactly those elements, byte for byte."""
    found = split(text).elements
    # to compare the lists takes a fraction of the time, but finds no Raw equal to bytes
    if found != expected and list(map(bytes, found)) != list(map(bytes, expected)):
        raise ChangedError("the records do not read back as they were, so nothing was written")


def _archived(file: RecordFile, array: RecordArray, removals: Iterable[Removal], run: str) -> Iterator[ArchivedRecord]:
    elements, last = array.elements, len(array) - 1
    hashes: dict[int, str] = {}
    twins: dict[str, Counter[str]] = {}

    def hash_at(ordinal: int) -> str:
        found = hashes.get(ordinal)
        if found is None:
            found = hashes[ordinal] = hashlib.sha256(elements[ordinal]).hexdigest()
        return found

    def twins_of(one: Removal) -> tuple[str, ...]:
        """All of them with the first record of that id, then only those identical to it: many may share one id."""
        if one.id is None or not one.twins:
            return ()
        if one.id in twins:
            return (hash_at(one.ordinal),) * twins[one.id][hash_at(one.ordinal)]
        found = tuple(hash_at(twin) for twin in one.twins)
        twins[one.id] = Counter(found)
        return found

    for one in removals:
        ordinal = one.ordinal
        yield ArchivedRecord(
            run=run,
            agent=file.agent,
            kind=file.kind,
            id=one.id,
            rule=one.rule,
            reason=one.reason,
            figures=one.figures,
            value=one.value,
            ordinal=ordinal,
            sha256=hash_at(ordinal),
            before=hash_at(ordinal - 1) if ordinal > 0 else None,
            after=hash_at(ordinal + 1) if ordinal < last else None,
            text=array.raw(ordinal).decode(),
            twins=twins_of(one),
        )
