"""What the last runs removed from a store and why, as the journal and the archives tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from aml.codec.compression import unpack
from aml.errors import AmlError, DamagedError
from aml.fs.files import read_regular, stat_if_there
from aml.ledger.runs import REMOVING, Journal, Run, is_run_id, run_number
from aml.model.undecodable import UNDECODABLE
from aml.store.open import Store

#: Bytes of archives that are looked into in all, packed, and of one of them unpacked.
_MOST_PACKED, _MOST_UNPACKED = 2 << 20, 64 << 20
#: Runs that are looked through at most, the newest first, and records that these removed or put back.
_MOST_RUNS, _MOST_KEYS = 500, 200_000


class Removal(Struct, frozen=True):
    """A run that removed records: when it started (ISO 8601 UTC), how it ended, how many records it removed from how
    many agents, how many of them were put back since, and the bytes of their files before and after.

    ``rules`` counts the records by the rule that removed them; ``uncounted`` are those whose archive was not looked
    into, since it has expired, is large, or cannot be read. ``files`` were taken away or replaced whole.
    """

    run: str
    operation: str
    started: str
    state: str
    records: int
    put_back: int
    agents: int
    bytes_before: int
    bytes_after: int
    rules: dict[str, int]
    uncounted: int
    files: int


class Removals(Struct, frozen=True):
    """The newest first; ``problems`` tell of what could not be read."""

    runs: tuple[Removal, ...]
    problems: tuple[str, ...]


class _Reason(Struct):
    """What of an archived record is looked at here."""

    rule: str


def look_at_removals(store: Store, most: int) -> Removals:
    """The last ``most`` runs that removed anything. Never raises for what cannot be read."""
    problems: list[str] = []
    put_back: Counter[str] = Counter()
    found: list[Removal] = []
    room, keys = _MOST_PACKED, 0
    for run in _newest_first(store, problems):
        keys += sum(len(file.removed) + len(file.restored) for file in run.files)
        if run.operation == "undo" and run.target is not None:
            put_back[run.target] += sum(len(file.restored) for file in run.files)
        elif run.operation in REMOVING and (run.quarantined or any(file.removed for file in run.files)):
            rules, uncounted, room = _rules(store, run, room)
            found.append(_removal(run, put_back[run.id], rules, uncounted))
        if len(found) == most or keys > _MOST_KEYS:
            break
    return Removals(tuple(found), tuple(problems))


def _newest_first(store: Store, problems: list[str]) -> Iterator[Run]:
    journal = Journal(store)
    try:
        ids = [run_id for run_id in journal.ids() if is_run_id(run_id)]
    except AmlError as error:
        problems.append(error.message)
        return
    for run_id in sorted(ids, key=run_number, reverse=True)[:_MOST_RUNS]:
        try:
            yield journal.read(run_id)
        except AmlError as error:
            problems.append(error.message)


def _removal(run: Run, put_back: int, rules: Counter[str], uncounted: int) -> Removal:
    return Removal(
        run=run.id,
        operation=run.operation,
        started=run.started,
        state=run.state,
        records=sum(len(file.removed) for file in run.files),
        put_back=put_back,
        agents=len({file.agent for file in run.files if file.removed}),
        bytes_before=sum(file.bytes_before for file in run.files),
        bytes_after=sum(file.bytes_after for file in run.files),
        rules=dict(sorted(rules.items())),
        uncounted=uncounted,
        files=len(run.quarantined),
    )


def _rules(store: Store, run: Run, room: int) -> tuple[Counter[str], int, int]:
    """Records by the rule that removed them, how many were not looked into, and how much may be read after that."""
    rules: Counter[str] = Counter()
    uncounted = 0
    for file in run.files:
        if not file.removed:
            continue
        size = None if file.archive is None or file.expired else _size(store, file.archive)
        if file.archive is None or size is None or size > room:
            uncounted += len(file.removed)
            continue
        room -= size
        try:
            rules.update(_archived_rules(store, file.archive))
        except AmlError:
            uncounted += len(file.removed)
    return rules, uncounted, room


def _size(store: Store, name: str) -> int | None:
    try:
        found = stat_if_there(store.keep / name)
    except AmlError:
        return None
    return None if found is None else found.st_size


def _archived_rules(store: Store, name: str) -> list[str]:
    """The rule of each record of an archive. Raises DamagedError, FileAccessError."""
    text = unpack(read_regular(store.keep / name), max_bytes=_MOST_UNPACKED)
    if not text.endswith(b"\n"):
        raise DamagedError(f"the archive {name} is cut short")
    decode = msgspec.json.Decoder(_Reason).decode
    try:
        return [decode(line).rule for line in text.splitlines()]
    except UNDECODABLE as error:
        raise DamagedError(f"the archive {name} is damaged: {error}") from error
