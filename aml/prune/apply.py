"""Applying a prune plan: per file, under its lock, archive first, then cut, then read back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from aml.codec.json_array import RecordArray, split
from aml.errors import AmlError, ChangedError, ExitStatus, LockedError
from aml.fs.durable import remove_durably
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.ledger.archive import ArchivedRecord, archive_name, write_archive
from aml.ledger.history import AgentHistory
from aml.ledger.runs import RecordKey, RunFile
from aml.model.kinds import KIND_BY_PLURAL
from aml.prune.options import PruneOptions
from aml.prune.plan import FilePlan, FileScan, PrunePlan, plan_agent, replan_file, scan_file
from aml.store.layout import RecordFile, record_file
from aml.store.open import Store
from aml.store.read import Content, read_content
from aml.store.transact import Transaction, transaction

#: How often a file is tried that somebody changes in the very moment of writing.
_ATTEMPTS = 3


class FileOutcome(Struct, frozen=True):
    """What a run did to one file. ``plan`` is what was applied: the plan itself, or one made anew under the lock.

    ``problem`` says why nothing was removed, if so, and ``status`` what that is worth.
    """

    plan: FilePlan
    removed: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    archive: str | None = None
    keys: tuple[RecordKey, ...] = ()
    problem: str | None = None
    status: int = ExitStatus.DONE

    def journal_entry(self, run_limit_left: bool) -> RunFile:
        return RunFile(
            self.plan.agent,
            self.plan.kind,
            archive=self.archive,
            removed=list(self.keys),
            shared=[removal.id for removal in self.plan.removals if removal.id and removal.ordinal in self.plan.twins],
            bytes_before=self.bytes_before,
            bytes_after=self.bytes_after,
            used_allowance=bool(self.keys) and not run_limit_left,
        )


def scan_store_file(
    store: Store, file: RecordFile, options: PruneOptions, now: float, history: AgentHistory
) -> FileScan | FilePlan:
    """Read and judge one file; a file that cannot be read becomes a plan that leaves it alone, with the reason."""
    try:
        return _scan(read_content(file, store.max_unpacked_bytes), options, now, history)
    except AmlError as error:
        return FilePlan(file.agent, file.kind, problem=_explain(error), problem_status=error.status)


def _explain(error: AmlError) -> str:
    readable = getattr(error, "readable", 0)
    return f"{error}; {readable} records before the damage can be read" if readable else str(error)


def _scan(
    content: Content, options: PruneOptions, now: float, history: AgentHistory, array: RecordArray | None = None
) -> FileScan:
    return scan_file(
        content.file.agent,
        content.file.kind,
        content.sha256,
        len(content.data),
        array or content.array(),
        options,
        now,
        history.of(content.file.kind),
    )


def apply_file(
    store: Store,
    plan: FilePlan,
    run_id: str,
    options: PruneOptions,
    now: float,
    history: AgentHistory,
    notes: LockNotes,
    policy: LockPolicy,
) -> FileOutcome:
    """Remove from one file what its plan says; whatever stands in the way is an outcome, not an exception."""
    file = record_file(store.root, plan.agent, KIND_BY_PLURAL[plan.kind])
    attempt = 0
    while True:
        attempt += 1
        try:
            with transaction(store, file, notes, policy) as held:
                content = held.read()
                array = content.array()
                if content.sha256 != plan.sha256:
                    plan = replan_file(plan, _scan(content, options, now, history, array))
                return _remove(store, held, content, array, plan, run_id)
        except ChangedError as error:
            if attempt == _ATTEMPTS:
                return _nothing_done(plan, error, ExitStatus.PARTIAL)
        except LockedError as error:
            return _nothing_done(plan, error, ExitStatus.LOCKED)
        except AmlError as error:
            status = ExitStatus.PARTIAL if error.status is ExitStatus.DAMAGED else error.status
            return _nothing_done(plan, error, status)


def _nothing_done(plan: FilePlan, error: AmlError, status: ExitStatus) -> FileOutcome:
    return FileOutcome(plan, problem=str(error), status=status, bytes_before=plan.size, bytes_after=plan.size)


def _remove(
    store: Store, held: Transaction, content: Content, array: RecordArray, plan: FilePlan, run_id: str
) -> FileOutcome:
    size = len(content.data)
    if not plan.removals:
        return FileOutcome(plan, bytes_before=size, bytes_after=size)
    gone = {removal.ordinal for removal in plan.removals}
    text = array.without(gone)
    _check(array, gone, text)
    name = archive_name(plan.agent, plan.kind, run_id)
    archived = _archived(array, plan, run_id)
    write_archive(store, name, archived)
    try:
        after = held.replace(content, text)
    except ChangedError:
        # called off before the file was touched: this archive holds nothing that the store does not
        remove_durably(store.keep / name)
        raise
    keys = tuple(RecordKey.of(record.id, record.sha256) for record in archived)
    return FileOutcome(plan, removed=len(gone), bytes_before=size, bytes_after=after, archive=name, keys=keys)


def _check(array: RecordArray, gone: set[int], text: bytes) -> None:
    """Before anything is written: the new text must hold exactly the records that stay, each byte for byte."""
    kept = [element for ordinal, element in enumerate(array.elements) if ordinal not in gone]
    found = split(text).elements
    if len(found) != len(kept) or any(bytes(one) != bytes(other) for one, other in zip(found, kept, strict=True)):
        raise ChangedError("the records that stay do not read back as they were, so nothing was written")


def _archived(array: RecordArray, plan: FilePlan, run_id: str) -> list[ArchivedRecord]:
    hashes: dict[int, str] = {}

    def hash_at(ordinal: int) -> str:
        if ordinal not in hashes:
            hashes[ordinal] = hashlib.sha256(array.raw(ordinal)).hexdigest()
        return hashes[ordinal]

    last = len(array) - 1
    return [
        ArchivedRecord(
            run=run_id,
            agent=plan.agent,
            kind=plan.kind,
            id=removal.id,
            rule=removal.rule,
            reason=removal.reason,
            figures=removal.figures,
            ordinal=removal.ordinal,
            sha256=hash_at(removal.ordinal),
            before=hash_at(removal.ordinal - 1) if removal.ordinal > 0 else None,
            after=hash_at(removal.ordinal + 1) if removal.ordinal < last else None,
            text=array.raw(removal.ordinal).decode(),
            twins=tuple(hash_at(twin) for twin in plan.twins.get(removal.ordinal, ())),
        )
        for removal in plan.removals
    ]


def plan_store(
    store: Store, agents: Sequence[str], options: PruneOptions, now: float, history: Mapping[str, AgentHistory]
) -> PrunePlan:
    """Read and judge the files of ``agents``, one after the other, and fit what is found into each loss budget."""
    plans = []
    for agent in agents:
        past = history.get(agent, AgentHistory())
        scans = [scan_store_file(store, file, options, now, past) for file in store.record_files(agent)]
        plans.append(plan_agent(agent, scans, past, options))
    return PrunePlan(now, options, tuple(plans))
