"""Compressing record files in place: gzip under the same name, as the agents' runtime itself writes them, and back.

The text of a file stays, and with it mode, owner and modification time. A plan looks at names, times and the first
bytes alone; what a file holds is read, checked, packed and unpacked again under the file's lock.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from aml.codec.compression import is_gzip, pack, unpacks_to
from aml.codec.json_array import split
from aml.codec.json_document import check_document
from aml.errors import AmlError, DamagedError, ExitStatus, FileAccessError
from aml.fs.access import explained
from aml.fs.files import is_there
from aml.fs.parallel import large_ones_alone
from aml.fs.runtime_lock import LockNotes, LockPolicy
from aml.model.kinds import KIND_BY_PLURAL
from aml.model.timestamps import SECONDS_PER_DAY
from aml.store.layout import GLOBAL, RecordFile, choose, is_text
from aml.store.open import Store
from aml.store.read import Content, read_content
from aml.store.transact import transaction, with_attempts

#: Bytes at the end of a gzip member that tell its unpacked size.
_SIZE_BYTES = 4

_NANO = 1_000_000_000

#: Why a file stays as it is.
Reason = Literal["done_already", "modified_lately", "empty", "no_gzip_yet", "would_not_shrink", "gone"]

Fate = Literal["compressed", "decompressed", "kept", "left"]


class CompressOptions(Struct, frozen=True):
    """What to compress, or with ``decompress`` to turn back: of all agents or these, all kinds of records or these (by
    plural), files not modified for ``age_days`` (0: whatever their age). The documents that all agents share are among
    them where neither agents nor kinds are named.

    Without ``plain``, only agents that have a gzip file already: whoever edits the others may be unable to read one.
    """

    agents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    age_days: float = 30.0
    decompress: bool = False
    plain: bool = False

    @property
    def form(self) -> str:
        """The form that files are to have: ``gzip`` or ``plain``."""
        return "plain" if self.decompress else "gzip"

    @property
    def fate(self) -> Fate:
        return "decompressed" if self.decompress else "compressed"


class PlannedFile(Struct, frozen=True):
    """One file, and why it is not to be touched, if so: a ``reason``, or a ``problem`` with its exit status.

    Sizes in bytes; ``unpacked`` is what the file itself tells, and good for sharing out memory only.
    """

    file: RecordFile
    size: int = 0
    unpacked: int = 0
    reason: Reason | None = None
    problem: str | None = None
    status: int = ExitStatus.DONE

    @property
    def is_due(self) -> bool:
        return self.reason is None and self.problem is None


class CompressPlan(Struct, frozen=True):
    """All files that were looked at, in the order of agents and kinds. ``now`` in seconds since 1970 UTC.

    ``unpacked_agents`` are those (and ``global``) that had no gzip file yet.
    """

    now: float
    options: CompressOptions
    files: tuple[PlannedFile, ...]
    unpacked_agents: frozenset[str]

    @property
    def due(self) -> tuple[PlannedFile, ...]:
        return tuple(file for file in self.files if file.is_due)


class CompressOutcome(Struct, frozen=True):
    """What became of one file. Sizes in bytes on disk; ``problem`` says why it was left alone, if so."""

    file: RecordFile
    fate: Fate
    bytes_before: int
    bytes_after: int
    reason: Reason | None = None
    problem: str | None = None
    status: int = ExitStatus.DONE


class _Look(Struct, frozen=True):
    """What a glance at a file tells: its state, its form by its first bytes, the size it unpacks to."""

    found: os.stat_result
    form: str
    unpacked: int


def plan_compress(store: Store, options: CompressOptions, now: float) -> CompressPlan:
    """Which files are to be compressed at ``now`` (seconds since 1970 UTC), and why not the others.

    Raises UsageError for an agent or a kind that does not exist, FileAccessError where the store cannot be listed.
    """
    kinds = choose(options.kinds, tuple(KIND_BY_PLURAL), "kind")
    groups = [store.record_files(agent) for agent in store.choose_agents(options.agents)]
    if not options.agents and not options.kinds:
        groups.append(tuple(_documents(store)))
    files: list[PlannedFile] = []
    unpacked: set[str] = set()
    for group in groups:
        looks = [(file, _look(file)) for file in group]
        is_plain = not any(isinstance(look, _Look) and look.form == "gzip" for _, look in looks)
        if is_plain:
            unpacked.update(file.agent for file in group)
        wanted = [(file, look) for file, look in looks if file.agent == GLOBAL or file.kind in kinds]
        files += [_planned(file, look, options, now, is_plain=is_plain) for file, look in wanted]
    return CompressPlan(now, options, tuple(files), frozenset(unpacked))


def _documents(store: Store) -> Iterator[RecordFile]:
    """The JSON documents that all agents share. A link in place of their folder is not followed."""
    folder = store.root / GLOBAL
    if not is_there(folder) or folder.is_symlink():
        return
    with explained("list", folder):
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    for name in names:
        if is_text(name) and not name.startswith("."):
            yield RecordFile(GLOBAL, name.removesuffix(".json"), folder / name)


def _look(file: RecordFile) -> _Look | AmlError:
    """A glance at a file; an error tells why it cannot be had."""
    try:
        with explained("read", file.path):
            found = os.stat(file.path, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                what = "a link" if stat.S_ISLNK(found.st_mode) else "no regular file"
                raise DamagedError(f"it is {what}, which AML does not follow")
            return _glance(file.path, found)
    except AmlError as error:
        return error


def _glance(path: Path, found: os.stat_result) -> _Look:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not is_gzip(os.pread(descriptor, 2, 0)):
            return _Look(found, "plain", found.st_size)
        told = os.pread(descriptor, _SIZE_BYTES, max(0, found.st_size - _SIZE_BYTES))
        return _Look(found, "gzip", max(found.st_size, int.from_bytes(told, "little")))
    finally:
        os.close(descriptor)


def _planned(
    file: RecordFile, look: _Look | AmlError, options: CompressOptions, now: float, *, is_plain: bool
) -> PlannedFile:
    if isinstance(look, AmlError):
        return PlannedFile(file, problem=str(look), status=look.status)
    reason = _reason_to_keep(look.found, look.form, options, now)
    if reason is None and is_plain and not (options.plain or options.decompress):
        reason = "no_gzip_yet"
    return PlannedFile(file, look.found.st_size, look.unpacked, reason)


def _reason_to_keep(found: os.stat_result, form: str, options: CompressOptions, now: float) -> Reason | None:
    """Why a file in that state is to stay as it is; None where it is not."""
    if found.st_size == 0:
        return "empty"
    if form == options.form:
        return "done_already"
    # a file that seems to come from the future is young, unless no age is asked for
    if options.age_days and now - found.st_mtime_ns / _NANO < options.age_days * SECONDS_PER_DAY:
        return "modified_lately"
    return None


def apply_compress(
    store: Store, plan: CompressPlan, notes: LockNotes, policy: LockPolicy, progress: Callable[[str], None]
) -> tuple[CompressOutcome, ...]:
    """Do what the plan says, each file under its lock, and tell what came of every file of the plan, in its order.

    Whatever stands in the way of one file is an outcome, and no exception.
    """

    def work(planned: PlannedFile) -> CompressOutcome:
        progress(planned.file.path_in_store)
        return _apply_file(store, planned, plan, notes, policy)

    return _all_outcomes(plan, work, notes.cancel)


def estimate_compress(store: Store, plan: CompressPlan, progress: Callable[[str], None]) -> tuple[CompressOutcome, ...]:
    """What ``apply_compress`` would tell: files are read, checked and packed in the same way, and none is written."""

    def work(planned: PlannedFile) -> CompressOutcome:
        progress(planned.file.path_in_store)
        try:
            return _repack(read_content(planned.file, store.max_unpacked_bytes), plan, lambda _, data: len(data))
        except AmlError as error:
            return _left(planned, error)

    return _all_outcomes(plan, work, lambda: None)


def _all_outcomes(
    plan: CompressPlan, work: Callable[[PlannedFile], CompressOutcome], cancel: Callable[[], None]
) -> tuple[CompressOutcome, ...]:
    """Files of ordinary size side by side, the largest first, so that all threads end together; large ones alone."""
    due = sorted(plan.due, key=lambda file: file.unpacked, reverse=True)
    done = large_ones_alone(due, lambda file: file.unpacked, work, cancel)
    by_path = {outcome.file.path: outcome for outcome in done}
    return tuple(by_path.get(file.file.path) or _untouched(file) for file in plan.files)


def _untouched(planned: PlannedFile) -> CompressOutcome:
    fate: Fate = "left" if planned.problem else "kept"
    return CompressOutcome(
        planned.file, fate, planned.size, planned.size, planned.reason, planned.problem, planned.status
    )


def _apply_file(
    store: Store, planned: PlannedFile, plan: CompressPlan, notes: LockNotes, policy: LockPolicy
) -> CompressOutcome:
    file = planned.file

    def work() -> CompressOutcome:
        if not is_there(file.path):
            return CompressOutcome(file, "kept", 0, 0, "gone")
        with transaction(store, file, notes, policy) as held:
            return _repack(held.read(), plan, held.repack)

    return with_attempts(work, lambda error, status: _looked_at_again(_left(planned, error, status), plan.options))


def _repack(content: Content, plan: CompressPlan, put: Callable[[Content, bytes], int]) -> CompressOutcome:
    """Judge a content as it is now, and ``put`` it in its other form, which returns the bytes on disk.

    Raises DamagedError for a content that cannot be read, and what ``put`` raises.
    """
    file, size = content.file, len(content.data)
    reason = _reason_to_keep(content.stat, content.form, plan.options, plan.now)
    if reason is not None:
        return CompressOutcome(file, "kept", size, size, reason)
    _check(content)
    if plan.options.decompress:
        return CompressOutcome(file, "decompressed", size, put(content, content.text))
    packed = pack(content.data)
    if len(packed) >= size:
        return CompressOutcome(file, "kept", size, size, "would_not_shrink")
    if not unpacks_to(packed, content.data):
        raise FileAccessError(
            f"{file.path} does not unpack to what was packed, so nothing was written", advice="check the memory"
        )
    return CompressOutcome(file, "compressed", size, put(content, packed))


def _check(content: Content) -> None:
    """Raise DamagedError for a content that cannot be read: it is left for somebody to look at as it is."""
    if content.file.agent == GLOBAL:
        check_document(content.text)
    else:
        split(content.text)


def _left(planned: PlannedFile, error: AmlError, status: ExitStatus | None = None) -> CompressOutcome:
    return CompressOutcome(
        planned.file, "left", planned.size, planned.size, None, str(error), error.status if status is None else status
    )


def _looked_at_again(outcome: CompressOutcome, options: CompressOptions) -> CompressOutcome:
    """A call that failed half-way may have succeeded: what is on disk tells."""
    look = _look(outcome.file)
    if outcome.status != ExitStatus.FAILED or isinstance(look, AmlError) or look.form != options.form:
        return outcome
    return CompressOutcome(
        outcome.file,
        options.fate,
        outcome.bytes_before,
        look.found.st_size,
        None,
        outcome.problem,
        outcome.status,
    )


def agents_of(outcomes: Iterable[CompressOutcome], fate: Fate) -> tuple[str, ...]:
    """Agents (and ``global``) one of whose files had that fate, in the order in which they come."""
    return tuple(dict.fromkeys(outcome.file.agent for outcome in outcomes if outcome.fate == fate))
