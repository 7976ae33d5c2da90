"""What a migration would do: every record file read, each record moved to the target, the result checked.

Nothing is written but what ``keep`` does with the bytes that a file is to have, so a dry run is the same work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from aml.codec.json_array import RecordArray
from aml.errors import AmlError, DamagedError, ExitStatus, SchemaError
from aml.migrate.check import changed_places, check_migrated
from aml.migrate.options import MigrateOptions
from aml.migrate.transform import MigratedArray, migrate_array
from aml.model.kinds import KIND_BY_PLURAL, PATTERN
from aml.model.units import count
from aml.store.judging import told_by_children
from aml.store.layout import RecordFile
from aml.store.open import Store
from aml.store.read import Content, Fingerprint, fingerprint, read_ahead, size_of

#: So many bad records are named in a message, and the others counted.
_NAMED = 3

#: What is done with the bytes that a file is to have.
Keep = Callable[[RecordFile, bytes], None]


class BadRecord(Struct, frozen=True):
    """A record that cannot be migrated: its file by agent and name, its position there (from 0), and why."""

    agent: str
    file: str
    position: int
    id: str | None
    version: str | None
    reason: str

    def __str__(self) -> str:
        ident = f"id {self.id}" if self.id is not None else "no id"
        version = self.version or "no version"
        return f"{self.agent}/{self.file}, position {self.position}, {ident}, {version}: {self.reason}"


class Sample(Struct, frozen=True):
    """The text of one record before and after."""

    agent: str
    file: str
    position: int
    before: bytes
    after: bytes


class FilePlan(Struct, frozen=True):
    """What is to become of one file. Sizes in bytes on disk; ``sha256`` is of the bytes seen, ``after`` of those to
    take their place, None where none are.

    ``versions`` counts records by version as they were found, ``changed`` those that move and ``moved`` their single
    steps, by ``from -> to``; ``odd`` elements are no records. ``others`` counts records that do not have the target's
    version afterwards, ``unreadable`` those that the agents' runtime reads now, and would not then.
    ``problem`` says why the file cannot be read, if so.
    """

    file: RecordFile
    size: int = 0
    size_after: int = 0
    sha256: str | None = None
    seen: Fingerprint | None = None
    after: str | None = None
    versions: dict[str, int] = {}
    moved: dict[str, int] = {}
    changed: int = 0
    odd: int = 0
    too_new: int = 0
    others: int = 0
    unreadable: int = 0
    bad: tuple[BadRecord, ...] = ()
    sample: Sample | None = None
    notes: tuple[str, ...] = ()
    problem: str | None = None
    status: int = ExitStatus.DONE

    @property
    def is_due(self) -> bool:
        return self.after is not None

    @property
    def records(self) -> int:
        return sum(self.versions.values())

    @property
    def strays(self) -> bool:
        """Whether something in it stays as it is that should have been moved."""
        return bool(self.bad or self.too_new or self.problem)


def _path(_: type, text: str) -> Path:
    return Path(text)


#: What a child sends back.
_PLAN = msgspec.msgpack.Decoder(FilePlan, dec_hook=_path)


class MigratePlan(Struct, frozen=True):
    """All record files of the agents in question, in the order of agents and kinds."""

    options: MigrateOptions
    files: tuple[FilePlan, ...]

    @property
    def due(self) -> tuple[FilePlan, ...]:
        return tuple(file for file in self.files if file.is_due)

    @property
    def unreadable(self) -> int:
        return sum(file.unreadable for file in self.files)

    @property
    def obstacle(self) -> AmlError | None:
        """What must stop the run before anything changes, unless it is to be skipped."""
        return None if self.options.skip_bad else obstacle_in(self.files)


def plan_store(
    store: Store,
    options: MigrateOptions,
    keep: Keep = lambda _, __: None,
    *,
    samples: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> MigratePlan:
    """Plan for every record file. With ``samples``, the first record that changes in each file is shown.

    Raises UsageError for an agent that is not there, AmlError where something migrated is not what it should be.
    """
    files = [file for agent in store.choose_agents(options.agents) for file in store.record_files(agent)]
    plans = _plans_by_children(store, files, options, keep, samples=samples)
    rest = [file for file in files if file not in plans]
    for file, content in read_ahead(rest, store.max_unpacked_bytes):
        progress(file.path_in_store)
        plans[file] = _planned(file, content, options, keep, samples=samples)
        del content  # freed before the next file is read
    return MigratePlan(options, tuple(plans[file] for file in files))


def _plans_by_children(
    store: Store, files: Sequence[RecordFile], options: MigrateOptions, keep: Keep, *, samples: bool
) -> dict[RecordFile, FilePlan]:
    """Plans made in several processes, where that pays."""

    def tell(file: RecordFile, content: Content | AmlError) -> bytes:
        return msgspec.msgpack.encode(_planned(file, content, options, keep, samples=samples), enc_hook=str)

    return {file: _PLAN.decode(answer) for file, answer in told_by_children(store, files, tell).items()}


def _planned(
    file: RecordFile, content: Content | AmlError, options: MigrateOptions, keep: Keep, *, samples: bool
) -> FilePlan:
    try:
        if isinstance(content, AmlError):
            raise content
        array = content.array()
    except AmlError as error:
        return FilePlan(file, size=size_of(file), size_after=size_of(file), problem=str(error), status=error.status)
    plan, data = plan_content(content, array, options, samples=samples)
    if data is not None:
        keep(file, data)
    return plan


def plan_content(
    content: Content, array: RecordArray, options: MigrateOptions, *, samples: bool = False
) -> tuple[FilePlan, bytes | None]:
    """What is to become of one content, and the bytes to be put in its place, if any; they are checked already."""
    file = content.file
    migrated = migrate_array(array, KIND_BY_PLURAL[file.kind], options.target, options.direction)
    after = check_migrated(file, array, migrated, options.target)
    data = content.rewritten(migrated.text) if migrated.changed else None
    size = len(content.data)
    return (
        FilePlan(
            file=file,
            size=size,
            size_after=size if data is None else len(data),
            sha256=content.sha256,
            seen=fingerprint(content.stat),
            after=None if data is None else hashlib.sha256(data).hexdigest(),
            versions=dict(migrated.versions),
            moved={f"{source} -> {target}": number for (source, target), number in migrated.moved.items()},
            changed=migrated.changed,
            odd=migrated.odd,
            too_new=migrated.too_new,
            others=sum(migrated.versions.values()) - _at_target(migrated, options.target),
            unreadable=_unreadable(migrated, file, options),
            bad=tuple(BadRecord(file.agent, file.path.name, *one) for one in migrated.bad),
            sample=_sample(file, array, after) if samples and data is not None else None,
            notes=_notes(file, array, migrated),
        ),
        data,
    )


def _notes(file: RecordFile, array: RecordArray, migrated: MigratedArray) -> tuple[str, ...]:
    """What is worth telling of records that moved; elements that are no records are only counted."""
    notes = [
        f"{file.path_in_store}, position {one.ordinal}: {one.text}"
        for one in migrated.notes
        if array.raw(one.ordinal).startswith(b"{")
    ]
    more = len(notes) - _NAMED
    return (*notes[:_NAMED], *([f"{file.path_in_store}: {more:,} more notes of that kind"] if more > 0 else []))


def _at_target(migrated: MigratedArray, target: str) -> int:
    return migrated.versions.get(target, 0) + migrated.changed


def _unreadable(migrated: MigratedArray, file: RecordFile, options: MigrateOptions) -> int:
    """Records that the agents' runtime will not read any more: of 2.0.0 it reads all but patterns."""
    return migrated.changed if file.kind == PATTERN.plural and not options.is_readable else 0


def _sample(file: RecordFile, before: RecordArray, after: RecordArray) -> Sample | None:
    place = next(changed_places(before, after), None)
    return None if place is None else Sample(file.agent, file.path.name, place, before.raw(place), after.raw(place))


def obstacle_in(files: Sequence[FilePlan]) -> AmlError | None:
    """What stands in the way of migrating all of those files; None where nothing does.

    Newer records come first, then files that cannot be read, then records that cannot be moved.
    """
    advice = "mend or remove them, or leave them as they are with --skip-bad"
    newer = [file for file in files if file.too_new]
    if newer:
        places = ", ".join(f"{one.file.path_in_store} ({one.too_new})" for one in newer[:_NAMED])
        told = f"records of a newer schema than AML knows: {places}{_more(len(newer))}"
        return SchemaError(told, advice="use a newer AML, or leave those as they are with --skip-bad")
    unread = [file for file in files if file.problem]
    if unread:
        error = DamagedError if any(file.status == ExitStatus.DAMAGED for file in unread) else AmlError
        places = "; ".join(f"{one.file.path_in_store}: {one.problem}" for one in unread[:_NAMED])
        return error(f"a record file cannot be read: {places}{_more(len(unread))}", advice=advice)
    bad = [record for file in files for record in file.bad]
    if bad:
        places = "; ".join(map(str, bad[:_NAMED]))
        return AmlError(f"{count(len(bad), 'record')} cannot be migrated: {places}{_more(len(bad))}", advice=advice)
    return None


def _more(number: int) -> str:
    return f"; and {number - _NAMED:,} more" if number > _NAMED else ""
