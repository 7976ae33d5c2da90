"""Checks of what lies where: folders, sizes, locks, rights, room."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shlex import quote

from msgspec import Struct

from aml.fs.access import explained, is_read_only, lack_of
from aml.fs.files import is_there, stat_if_there
from aml.fs.runtime_lock import LockPolicy
from aml.model.moments import format_age
from aml.model.units import size
from aml.monitor.checks.check import Check, Measure
from aml.monitor.findings import Finding, Level
from aml.monitor.inspection import Inspection
from aml.monitor.survey import Role
from aml.repository.description import DESCRIPTION_KEY
from aml.store.sizes import size_below

_MIB = 1 << 20
#: Mode bits that let others than the owner in.
_OTHERS = 0o077
#: A live writer touches its lock every few seconds; one that nobody touched for so long (seconds) has no owner.
_STALE_SECONDS = LockPolicy().stale
#: How many paths of one sort are named, and how many of those at once.
_NAMED, _TOLD = 10, 3

#: What AML keeps beside the backups, and the parts of a repository of backups.
_KEPT, _OF_REPOSITORY = ("archives", "quarantine"), ("packs", "snapshots", "index")

_strange = partial(Finding, "structure")
_large = partial(Finding, "limits")
_left = partial(Finding, "locks")
_barred = partial(Finding, "permissions")
_scarce = partial(Finding, "disk_space")


class _Sort(Struct, frozen=True):
    """One sort of entry that does not belong in a store: what one is called, what several are, and why it matters."""

    subject: str
    level: Level
    one: str
    several: str
    trouble: str
    advice: str


_LINKS = _Sort(
    "links",
    Level.WARNING,
    "link",
    "links",
    "AML does not follow them, so what they lead to is not checked, pruned or backed up",
    "put what they lead to in their place",
)
_NAMES = _Sort(
    "names",
    Level.WARNING,
    "folder with a name that is no text here",
    "folders with names that are no text here",
    "AML leaves them alone",
    "rename them, or set a UTF-8 locale",
)
_COPIES = _Sort(
    "compressed copies",
    Level.WARNING,
    "compressed copy of older scripts",
    "compressed copies of older scripts",
    "no agent reads them",
    "aml optimize gc merges them back",
)
_FOLDERS = _Sort(
    "folders",
    Level.INFO,
    "folder inside those of agents",
    "folders inside those of agents",
    "no agent uses them",
    "move them out of the store if they are no memory",
)
_NO_AGENTS = _Sort(
    "no agents",
    Level.INFO,
    "folder without memory",
    "folders without memory",
    "the agents' runtime takes them for agents",
    "move them out of the store",
)
_FILES = _Sort(
    "files",
    Level.INFO,
    "entry that is no file, such as a pipe",
    "entries that are no files, such as pipes",
    "nobody reads them",
    "move them out of the store",
)


def _structure(seen: Inspection) -> Measure:
    found = seen.survey
    sorts = (
        (_LINKS, found.links),
        (_NAMES, found.strangers),
        (_COPIES, [file.path for file in found.of(Role.PACKED)]),
        (_FOLDERS, found.foreign),
        (_NO_AGENTS, _without_memory(seen)),
        (_FILES, found.odd),
    )
    findings = tuple(_misplaced(sort, paths) for sort, paths in sorts if paths)
    return Measure(findings, sum(len(paths) for _, paths in sorts), 0, "paths")


def _misplaced(sort: _Sort, paths: list[str]) -> Finding:
    number = len(paths)
    named = ", ".join(paths[:_TOLD]) + (", ..." if number > _TOLD else "")
    message = f"{number:,} {sort.one if number == 1 else sort.several} ({named}): {sort.trouble}"
    return _strange(sort.subject, sort.level, message, sort.advice, number, 0, "paths", tuple(paths[:_NAMED]))


def _without_memory(seen: Inspection) -> list[str]:
    """Folders with something in them, and nothing of an agent's."""
    with_memory = {file.folder for file in seen.memory_files}
    other = {file.folder for file in seen.survey.of(Role.OTHER)} | {path.split("/")[0] for path in seen.survey.foreign}
    return [name for name in seen.survey.agents if name in other and name not in with_memory]


def _limits(seen: Inspection) -> Measure:
    limits = seen.thresholds
    sizes = [(name, size_below(seen.store.root / name), limits.agent_mb * _MIB) for name in seen.survey.agents]
    total = seen.size
    findings = []
    for name, octets, limit in (*sizes, ("", total, limits.store_mb * _MIB)):
        if octets < limits.near_limit * limit:
            continue
        subject = f"agent {name}" if name else "the store"
        words = ("aml prune --strategy space", *([f"--agent {quote(name)}"] if name else []), "--dry-run")
        message = f"{subject} holds {size(octets)} of {size(limit)}"
        level = Level.CRITICAL if octets >= limit else Level.WARNING
        findings.append(_large(name, level, message, " ".join(words), octets, limit, "bytes"))
    return Measure(tuple(findings), total, limits.store_mb * _MIB, "bytes")


def _locks(seen: Inspection) -> Measure:
    findings = []
    stale = 0
    for lock in seen.survey.locks:
        age = seen.now - lock.mtime
        if not lock.is_folder:
            message = "it is no folder, so no agent can lock that file"
            findings.append(_left(lock.path, Level.ERROR, message, "find out what made it, and move it away"))
        elif age > _STALE_SECONDS:
            message = f"nobody has touched this lock for {format_age(age)}"
            advice = f"agents take it over by themselves; if none runs: rmdir {quote(str(seen.store.root / lock.path))}"
            findings.append(_left(lock.path, Level.WARNING, message, advice, round(age, 3), _STALE_SECONDS, "seconds"))
            stale += 1
    for file in seen.survey.of(Role.UNFINISHED, Role.TEMPORARY):
        age = seen.now - file.mtime
        if age > _STALE_SECONDS:
            whose, advice = "an agent", "aml optimize gc takes it away when it is a day old"
            if file.role is Role.TEMPORARY:
                whose, advice = "a run of AML's", "the next run that changes the store takes it away"
            message = f"an unfinished write that {whose} left {format_age(age)} ago"
            findings.append(_left(file.path, Level.INFO, message, advice, round(age, 3), _STALE_SECONDS, "seconds"))
    return Measure(tuple(findings), stale, 0, "stale locks")


def _permissions(seen: Inspection) -> Measure:
    findings = [*_unreadable(seen), *_unwritable(seen), *_open_to_others(seen)]
    return Measure(tuple(findings), len(findings), 0, "paths")


def _unreadable(seen: Inspection) -> Iterator[Finding]:
    for name, error in seen.survey.unlisted:
        folder = seen.store.root / name
        barred = not os.access(folder, os.R_OK | os.X_OK)
        advice = lack_of("look into", "rx", folder) if barred else error.advice
        yield _barred(name, Level.ERROR, error.message, advice)
    for file in seen.memory_files:
        path = seen.store.root / file.path
        if not os.access(path, os.R_OK) and is_there(path):
            yield _barred(file.path, Level.ERROR, "it cannot be read", lack_of("read", "r", path))


def _unwritable(seen: Inspection) -> Iterator[Finding]:
    # where nobody means to write, it is as it should be
    level = Level.WARNING if seen.writes else Level.INFO
    unlisted = {name for name, _ in seen.survey.unlisted}
    agents = [name for name in seen.survey.agents if name not in unlisted]
    barred = [name for name in agents if _is_barred(seen.store.root / name)]
    if is_read_only(seen.store.root):
        message = "the file system of the store is mounted read-only: nothing in it can be changed"
        yield _barred("read-only", level, message, "mount it for writing, or say --no-record")
        barred = []
    elif 1 < len(barred) == len(agents):
        message = f"nothing can be changed in any of the {len(agents):,} folders of agents"
        advice = f"{lack_of('write to', 'wx', seen.store.root / barred[0])}; and so for the others"
        yield _barred("agents", level, message, advice, len(barred), 0, "folders", tuple(barred[:_NAMED]))
        barred = []
    places = [(name, seen.store.root / name) for name in barred]
    beside = (seen.store.state, seen.destination.root)
    places += [(str(path), path) for path in beside if _is_barred(path) and not is_read_only(path)]
    for subject, path in places:
        yield _barred(subject, level, "nothing in it can be changed", lack_of("write to", "wx", path))


def _is_barred(folder: Path) -> bool:
    """Whether it is a folder in which this user cannot change anything."""
    return os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK)


def _open_to_others(seen: Inspection) -> Iterator[Finding]:
    """Folders and files of AML's own that others may enter: they hold text that the store no longer has."""
    folders = [seen.store.state]
    # the runtime, or whoever keeps a disk for backups, may have made these folders: only what AML made in them is told
    folders += [seen.store.keep / name for name in _KEPT if _is_open(seen.store.keep)]
    repository = seen.destination.root
    if is_there(repository / DESCRIPTION_KEY) and _is_open(repository):
        folders += [repository / name for name in _OF_REPOSITORY]
    for folder in folders:
        if _is_open(folder):
            message = "others than its owner may enter, and it holds text that the store no longer has"
            yield _barred(str(folder), Level.WARNING, message, f"chmod 700 {quote(str(folder))}")
    for path in seen.secrets:
        # through links, as it is read: what is kept for services is often a link to the file itself
        if os.path.isfile(path) and os.stat(path).st_mode & _OTHERS:
            message = "others than its owner may read the secret in it"
            yield _barred(str(path), Level.ERROR, message, f"chmod 600 {quote(str(path))}, and use another secret")


def _is_open(folder: Path) -> bool:
    """Whether it is a folder that others than its owner may enter."""
    found = stat_if_there(folder)
    return found is not None and stat.S_ISDIR(found.st_mode) and bool(found.st_mode & _OTHERS)


def _disk_space(seen: Inspection) -> Measure:
    largest = max((file.size for file in seen.memory_files), default=0)
    total = seen.size
    findings: list[Finding] = []
    known: set[int] = set()
    least: float | None = None
    wanted = max(seen.thresholds.free_mb * _MIB, total)
    for subject, folder in (("store", seen.store.root), ("repository", _existing(seen.destination.root))):
        with explained("look at", folder):
            device, room = os.stat(folder).st_dev, os.statvfs(folder)
        if device in known:
            continue
        known.add(device)
        free = room.f_bavail * room.f_frsize
        least = free if least is None else min(least, free)
        advice = f"make room where {folder} lies; aml backup rotate and aml optimize compress take less"
        if free < wanted:
            # a file is written anew beside the old one
            level = Level.CRITICAL if free < 2 * largest + _MIB else Level.WARNING
            message = f"{size(free)} are free where the {subject} lies"
            findings.append(_scarce(subject, level, message, advice, free, wanted, "bytes"))
        inodes = seen.thresholds.free_inodes
        if room.f_files and room.f_favail < inodes:
            message = f"{room.f_favail:,} more files can be made where the {subject} lies"
            findings.append(
                _scarce(f"{subject} inodes", Level.WARNING, message, advice, room.f_favail, inodes, "files")
            )
    return Measure(tuple(findings), least, wanted, "bytes")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def _same_disk(seen: Inspection) -> Measure:
    root = seen.destination.root
    if not (os.path.isdir(root) and seen.backups.count):
        return Measure()
    with explained("look at", root):
        same = os.stat(root).st_dev == os.stat(seen.store.root).st_dev
    if not same:
        return Measure()
    message = "the backups lie on the disk that holds the store, and are lost with it"
    advice = "name a repository elsewhere: the setting backup.repository, or --repository PATH"
    return Measure((Finding("same_disk", "", Level.INFO, message, advice),))


PLACES = (
    Check("structure", "nothing lies in the store that is no memory", _structure),
    Check("limits", "agents and store hold less than they may", _limits),
    Check("locks", "nobody left a lock or half a file behind", _locks),
    Check("permissions", "AML may read and write, and nobody else may read what it keeps", _permissions),
    Check("disk_space", "there is room to write", _disk_space),
    Check("same_disk", "the backups lie on another disk", _same_disk),
)
