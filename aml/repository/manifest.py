"""What a backup's manifest holds: stored types only; docs/repository-format.md says what each field means."""

from __future__ import annotations

import binascii
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from aml.errors import DamagedError
from aml.model.undecodable import UNDECODABLE
from aml.store.layout import agent_of

FORMAT = 1
#: No backup was made before, and the calendar of the interpreter ends soon after.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
#: No system takes a file time (ns since 1970) beyond this.
_FARTHEST_NS = 1_000_000_000 << 63

Kind = Literal["full", "incremental"]
#: ``plain``: the file's bytes are stored; ``gzip``: they are one gzip member, and its content is stored.
Form = Literal["plain", "gzip"]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Bytes = Annotated[int, Meta(ge=0, le=1 << 62)]
Mode = Annotated[int, Meta(ge=0, le=0o7777)]
#: Device, inode, size (bytes), modification and change time (ns) of a file that was not just being changed.
Stat = tuple[int, int, int, int, int]


class FileEntry(Struct, frozen=True, omit_defaults=True):
    """One regular file: ``sha256`` and ``size`` are of its bytes on disk, ``content_*`` of what the chunks hold.

    ``path`` is relative to the store, with ``/``. ``path_hex`` holds the exact bytes of a path that is not UTF-8.
    ``records`` counts the elements of a record file, ``schema`` is the version of the first one's schema.
    """

    path: str
    size: Bytes
    mode: Mode
    mtime_ns: int
    sha256: Sha256
    chunks: list[Sha256]
    form: Form = "plain"
    content_sha256: Sha256 | None = None
    content_size: Bytes | None = None
    damaged: str | None = None
    path_hex: str | None = None
    stat: Stat | None = None
    records: Annotated[int, Meta(ge=0)] | None = None
    schema: str | None = None

    @property
    def location(self) -> str:
        """The path as the system's calls take it."""
        return _location(self.path, self.path_hex)

    @property
    def stored_sha256(self) -> str:
        """SHA-256 of what the chunks hold together, in hex."""
        return self.sha256 if self.content_sha256 is None else self.content_sha256

    @property
    def stored_size(self) -> int:
        """Size of what the chunks hold together, in bytes."""
        return self.size if self.content_size is None else self.content_size


class FolderEntry(Struct, frozen=True, omit_defaults=True):
    """One folder, so that an empty one comes back too."""

    path: str
    mode: Mode
    mtime_ns: int
    path_hex: str | None = None

    @property
    def location(self) -> str:
        """The path as the system's calls take it."""
        return _location(self.path, self.path_hex)


class Unread(Struct, frozen=True, omit_defaults=True):
    """A path that could not be read, and why: a restore of this backup leaves it alone."""

    path: str
    reason: str
    path_hex: str | None = None

    @property
    def location(self) -> str:
        """The path as the system's calls take it."""
        return _location(self.path, self.path_hex)


class Listing(Struct, frozen=True):
    """The object that a manifest refers to for each agent: its folders and files."""

    format: int
    folders: list[FolderEntry]
    files: list[FileEntry]


def owners_of(listing: Listing) -> set[str | None]:
    """The agents whose folders and files a listing names, and None where it names what belongs to no agent."""
    owners = {agent_of(one.location, is_folder=True) for one in listing.folders}
    return owners | {agent_of(one.location) for one in listing.files}


def part_name(agent: str | None) -> str:
    """What the part of a store is called that a listing is of."""
    return "what belongs to no agent" if agent is None else f"agent {agent}"


class ListingRef(Struct, frozen=True):
    """Where the listing of one agent is: ``agent`` is None for all that belongs to no agent.

    ``sha256`` and ``size`` are of the listing, ``files`` and ``bytes`` what it lists.
    """

    agent: str | None
    sha256: Sha256
    size: Bytes
    chunks: list[Sha256]
    files: int
    bytes: int


class Scope(Struct, frozen=True):
    """What a backup covers: the whole store (None), or these agents."""

    agents: tuple[str, ...] | None = None


class Redaction(Struct, frozen=True):
    """Reserved: no manifest of format 1 holds any."""


class Totals(Struct, frozen=True):
    """What a backup holds (files, folders, bytes in the store), and what it added to the repository."""

    files: int = 0
    folders: int = 0
    bytes: int = 0
    added_chunks: int = 0
    added_bytes: int = 0


class Manifest(Struct, frozen=True):
    """One backup. ``unread`` are the paths that could not be read: a backup with any is incomplete.

    ``clock_doubted`` tells that the clock could not be believed when it was made. ``source`` is the path of the store
    at that time: it is for people to read, and decides nothing.
    """

    format: int
    repository: str
    kind: Kind
    parent: str | None
    sequence: Annotated[int, Meta(ge=1, le=1 << 62)]
    time: datetime
    host: str
    scope: Scope
    unread: list[Unread]
    schemas: dict[str, int]
    tags: list[str]
    description: str
    redactions: list[Redaction]
    totals: Totals
    listings: list[ListingRef]
    clock_doubted: bool = False
    source: str = ""

    @property
    def complete(self) -> bool:
        """Whether every path of its scope was read."""
        return not self.unread


def path_fields(location: str) -> tuple[str, str | None]:
    """``path`` and ``path_hex`` of an entry for a path as the system's calls give it."""
    if location.isascii():
        return location, None
    # by its bytes, so that a backup is the same in any locale
    exact = os.fsencode(location)
    try:
        return exact.decode(), None
    except UnicodeDecodeError:
        return exact.decode(errors="replace"), exact.hex()


def check_paths(folders: Iterable[str], files: Iterable[str]) -> None:
    """Raise DamagedError for a path that is absolute, holds ``..``, comes twice, or passes through a file."""
    taken: set[str] = set()
    files = list(files)
    for path in (*folders, *files):
        names = path.split("/")
        if "\0" in path or any(name in ("", ".", "..") for name in names):
            raise DamagedError(f"a listing holds the path {path!r}, which no backup holds: it is refused")
        if path in taken:
            raise DamagedError(f"a listing holds the path {path!r} twice")
        taken.add(path)
    regular = set(files)
    parents = {path.rpartition("/")[0] for path in taken}
    while parents := parents - {""}:
        if crossed := parents & regular:
            raise DamagedError(f"a listing holds a path through {min(crossed)!r}, which is a file")
        parents = {path.rpartition("/")[0] for path in parents}


def encode_listing(listing: Listing) -> bytes:
    """A listing as JSON with one entry on each line, so that a small change costs a small chunk."""
    encode = msgspec.json.encode
    lines = [b'{"format":%d,"folders":[' % listing.format, *_joined([encode(one) for one in listing.folders])]
    lines += [b'],"files":[', *_joined([encode(one) for one in listing.files]), b"]}\n"]
    return b"\n".join(lines)


def decode_listing(data: bytes) -> Listing:
    """Raises DamagedError where a listing is not what ``encode_listing`` makes, or holds paths that are refused."""
    try:
        listing = msgspec.json.decode(data, type=Listing)
        folders = [one.location for one in listing.folders]
        files = [one.location for one in listing.files]
    except UNDECODABLE as error:
        raise DamagedError(f"a listing cannot be read: {error}") from error
    if listing.format != FORMAT:
        raise DamagedError(f"a listing has format {listing.format}, which this AML does not know")
    times = chain((one.mtime_ns for one in listing.folders), (one.mtime_ns for one in listing.files))
    if any(not -_FARTHEST_NS <= mtime_ns < _FARTHEST_NS for mtime_ns in times):
        raise DamagedError("a listing holds a time that no file has")
    check_paths(folders, files)
    return listing


def decode_manifest(data: bytes) -> Manifest:
    """Raises DamagedError where a manifest is not what it should be."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except UNDECODABLE as error:
        raise DamagedError(f"it is no manifest: {error}") from error
    if manifest.format != FORMAT:
        raise DamagedError(f"it has format {manifest.format}, which this AML does not know")
    if manifest.time.tzinfo is None:
        raise DamagedError("its time has no zone")
    if not _FIRST_YEAR <= manifest.time.year <= _LAST_YEAR:
        raise DamagedError(f"its year is {manifest.time.year}, when no backup was made")
    try:
        check_paths((), {one.location for one in manifest.unread})
    except ValueError as error:
        raise DamagedError(f"it is no manifest: {error}") from error
    return manifest


def format_time(moment: datetime) -> str:
    """The time part of an id: ``20261121T031332.123456Z``, UTC."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _joined(entries: Sequence[bytes]) -> list[bytes]:
    return [*(entry + b"," for entry in entries[:-1]), *entries[-1:]]


def _location(path: str, path_hex: str | None) -> str:
    if path_hex is None and path.isascii():
        return path
    return os.fsdecode(path.encode() if path_hex is None else binascii.unhexlify(path_hex))
