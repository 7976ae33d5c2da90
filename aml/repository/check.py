"""Verification of a repository in tiers. Damage never raises: it becomes a finding that says what it touches."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct

from aml.codec.compression import is_gzip
from aml.errors import DamagedError, FileAccessError, NotFoundError, SchemaError
from aml.repository.check_data import Document, PackResult, check_documents, check_packs
from aml.repository.description import DESCRIPTION_KEY, Description, describe
from aml.repository.destination import UNREADABLE, Destination
from aml.repository.index import load_index
from aml.repository.json_pieces import Piece
from aml.repository.manifest import Listing, ListingRef, owners_of, part_name
from aml.repository.reader import Reader
from aml.repository.snapshots import Snapshot, Snapshots, snapshot_key
from aml.repository.tables import pack_key

#: quick: structure and sizes. packs: and the SHA-256 of every pack. deep: and every chunk unpacked and hashed, and
#: documents parsed. sample: quick, and the SHA-256 and every chunk of some packs.
Tier = Literal["quick", "packs", "deep", "sample"]

_ADVICE_CHUNKS = "run aml backup create --full: it writes again what the store still has"
_ADVICE_COPY = "nothing is lost, other packs hold it whole: aml backup rotate replaces that pack when it is an hour old"
_ADVICE_LISTING = "run aml backup create --full; if it stays, move that manifest away: only this backup is lost"
_ADVICE_INDEX = "nothing is lost: the next backup writes the index again from the packs"
_ADVICE_DESCRIPTION = "nothing is lost: the next backup writes it again, with the id that all backups name"
_ADVICE_SNAPSHOT = "remove that file once you do not need that backup; all others are unaffected"


class AffectedFile(Struct, frozen=True):
    """A file of a backup that cannot be restored whole; ``agent`` is None for what belongs to no agent."""

    snapshot: str
    agent: str | None
    path: str


class Finding(Struct, frozen=True):
    """One piece of damage: the file of the repository, what is wrong, what it touches, what to do next.

    ``chunks`` (SHA-256 in hex) cannot be read from any pack, ``snapshots`` are ids of backups that need them, ``files``
    lists each affected file of each of them.
    """

    key: str
    problem: str
    chunks: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    files: tuple[AffectedFile, ...] = ()
    advice: str = ""


class CheckReport(Struct, frozen=True):
    """What was checked (names of packs, number of chunks and backups), what is wrong, and what is worth a note.

    A note is a document that is stored as it was, and is no whole JSON although its name says so. ``snapshot`` is the
    id of the only backup that was looked at, if that was asked for.
    """

    tier: Tier
    findings: list[Finding]
    notes: list[str]
    snapshots: int
    chunks: int
    packs: list[str]
    snapshot: str | None = None


class _Listed(Struct):
    """The listings that could be read, by their SHA-256, each once."""

    snapshots: Snapshots
    listings: dict[str, Listing]


def check(
    destination: Destination,
    tier: Tier = "quick",
    *,
    sample: float = 0.1,
    checked: Mapping[str, float] | None = None,
    damaged: Collection[str] = (),
    snapshot: str | None = None,
) -> CheckReport:
    """Verify a repository, whose lock the caller holds. Raises FileAccessError where its folder cannot be listed.

    ``sample`` is the share of all packs (0 to 1, at least one pack) that the tier of that name looks into: those
    whose time in ``checked`` (pack name to seconds since 1970) is the oldest, never checked ones first. ``damaged`` are
    names of packs in which an earlier check found damage.

    With ``snapshot``, the id of a backup, nothing is looked at but that backup, and the packs that hold chunks it
    needs. Raises NotFoundError where there is none of that id.
    """
    findings: list[Finding] = []
    notes: list[str] = []
    description = _describe(destination, findings)
    reader = Reader(destination, description, load_index(destination))
    try:
        listed = _Listed(_wanted(reader.snapshots(), snapshot), {})
        findings += [Finding(flaw.key, flaw.reason, advice=_ADVICE_SNAPSHOT) for flaw in listed.snapshots.flaws]
        _check_structure(reader, listed, findings)
        names = _needed_packs(reader, listed) if snapshot is not None else sorted(reader.loaded.packs)
        _check_index(reader, findings, names if snapshot is not None else None)
        packs = _chosen(names, tier, sample, checked or {})
        pieces = _check_packs(reader, packs, tier, listed, findings, damaged)
        if tier == "deep":
            _check_documents(reader, listed, pieces, findings, notes)
    finally:
        reader.close()
    findings.sort(key=lambda one: one.key)
    return CheckReport(tier, findings, notes, len(listed.snapshots.readable), len(reader.index), packs, snapshot)


def _wanted(snapshots: Snapshots, identity: str | None) -> Snapshots:
    if identity is None:
        return snapshots
    readable = [one for one in snapshots.readable if one.id == identity]
    flaws = [flaw for flaw in snapshots.flaws if flaw.key == snapshot_key(identity)]
    if not readable and not flaws:
        raise NotFoundError(f"there is no backup {identity!r}", advice="aml backup list shows all")
    return Snapshots(readable, flaws)


def _needed_packs(reader: Reader, listed: _Listed) -> list[str]:
    """The packs that hold a chunk of the backups at hand, each copy of it."""
    chunks = {
        name for one in listed.snapshots.readable for reference in one.manifest.listings for name in reference.chunks
    }
    for listing in listed.listings.values():
        for entry in listing.files:
            chunks.update(entry.chunks)
    return sorted({place.pack for name in chunks for place in reader.index.places(bytes.fromhex(name))})


def _check_index(reader: Reader, findings: list[Finding], names: Collection[str] | None) -> None:
    """What was found wrong when the index was loaded; with ``names``, of these packs alone."""
    loaded = reader.loaded
    keys = None if names is None else {pack_key(name) for name in names}
    for flaw in loaded.flaws:
        if keys is None or flaw.key in keys:
            advice = _ADVICE_INDEX if flaw.key.startswith("index/") else _ADVICE_CHUNKS
            findings.append(Finding(flaw.key, flaw.reason, advice=advice))
    if names is None:
        findings += [Finding(pack_key(table.pack), "it is missing", advice=_ADVICE_CHUNKS) for table in loaded.missing]


def _describe(destination: Destination, findings: list[Finding]) -> Description | None:
    try:
        return describe(destination)
    except (DamagedError, NotFoundError, SchemaError, FileAccessError) as error:
        findings.append(Finding(DESCRIPTION_KEY, error.message, advice=_ADVICE_DESCRIPTION))
        return None


def _check_structure(reader: Reader, listed: _Listed, findings: list[Finding]) -> None:
    """Every backup's listings are whole, and every chunk that they name is there and as long as it should be."""
    missing: set[str] = set()
    strangers = []
    owners: dict[str, set[str | None]] = {}
    for snapshot in listed.snapshots.readable:
        for reference in snapshot.manifest.listings:
            if reference.sha256 not in listed.listings:
                _check_listing(reader, snapshot, reference, listed, missing, findings)
            if reference.sha256 in listed.listings:
                _check_owner(snapshot, reference, listed.listings[reference.sha256], owners, findings)
        if reader.described is not None and snapshot.manifest.repository != reader.described.id:
            strangers.append(snapshot.id)
    if strangers:
        problem = "its id is not the one that backups name"
        findings.append(Finding(DESCRIPTION_KEY, problem, snapshots=tuple(strangers), advice=_ADVICE_DESCRIPTION))
    if missing:
        problem = f"{len(missing)} chunks are in no pack that can be read"
        findings.append(_explain(listed, "packs", problem, missing))


def _check_listing(
    reader: Reader,
    snapshot: Snapshot,
    reference: ListingRef,
    listed: _Listed,
    missing: set[str],
    findings: list[Finding],
) -> None:
    key = snapshot_key(snapshot.id)
    try:
        listing = reader.read_listing(reference)
    except UNREADABLE as error:
        users = [one.id for one in listed.snapshots.readable if reference in one.manifest.listings]
        problem = f"the list of files of {part_name(reference.agent)} cannot be read: {error.message}"
        findings.append(Finding(key, problem, tuple(reference.chunks), tuple(users), advice=_ADVICE_LISTING))
        return
    listed.listings[reference.sha256] = listing
    for entry in listing.files:
        try:
            reader.check_size(entry.chunks, entry.stored_size)
        except NotFoundError:
            missing.update(name for name in entry.chunks if not reader.has(bytes.fromhex(name)))
        except DamagedError as error:
            affected = (AffectedFile(snapshot.id, reference.agent, entry.path),)
            findings.append(Finding(key, error.message, (), (snapshot.id,), affected, _ADVICE_CHUNKS))


def _check_owner(
    snapshot: Snapshot,
    reference: ListingRef,
    listing: Listing,
    owners: dict[str, set[str | None]],
    findings: list[Finding],
) -> None:
    """A list that is whole, and names files of another part than its own, is refused by a restore."""
    found = owners.get(reference.sha256)
    if found is None:
        found = owners[reference.sha256] = owners_of(listing)
    if found - {reference.agent}:
        problem = f"the list of files of {part_name(reference.agent)} names files of somebody else"
        findings.append(Finding(snapshot_key(snapshot.id), problem, (), (snapshot.id,), advice=_ADVICE_SNAPSHOT))


def _chosen(names: list[str], tier: Tier, sample: float, checked: Mapping[str, float]) -> list[str]:
    if tier == "quick":
        return []
    if tier == "sample":
        oldest = sorted(names, key=lambda name: (checked.get(name, -math.inf), name))
        return oldest[: max(1, math.ceil(sample * len(names)))]
    return names


def _check_packs(
    reader: Reader,
    names: list[str],
    tier: Tier,
    listed: _Listed,
    findings: list[Finding],
    damaged: Collection[str],
) -> dict[bytes, Piece]:
    """Read packs; returns the chunks that are whole, where the tier looks at each, and what they are."""
    pieces: dict[bytes, Piece] = {}
    wrong: list[PackResult] = []
    for result in check_packs(reader, names, unpacked=tier != "packs", parse=tier == "deep"):
        pieces |= result.pieces
        if result.problem:
            wrong.append(result)
    bad = {result.name: set(result.bad) for result in wrong}
    looked_at = frozenset(names)

    def is_whole_in(pack: str, digest: bytes) -> bool:
        """Packs that were not looked at are presumed to be what they were when they were."""
        return digest not in bad.get(pack, ()) and (pack in looked_at or pack not in damaged)

    for result in wrong:
        # what another pack holds whole can be restored all the same
        lost = {
            digest.hex()
            for digest in result.bad
            if not any(is_whole_in(place.pack, digest) for place in reader.index.places(digest))
        }
        findings.append(_explain(listed, pack_key(result.name), result.problem, lost))
    return pieces


def _check_documents(
    reader: Reader, listed: _Listed, pieces: Mapping[bytes, Piece], findings: list[Finding], notes: list[str]
) -> None:
    """What the chunks that are whole make together."""
    documents: dict[tuple[object, ...], Document] = {}
    for listing in listed.listings.values():
        for entry in listing.files:
            parse = entry.damaged is None and entry.path.endswith((".json", ".json.gz"))
            document = Document(entry.path, entry.chunks, entry.stored_sha256, entry.stored_size, parse)
            documents.setdefault((parse, entry.stored_sha256, *entry.chunks), document)
    results = check_documents(reader, list(documents.values()), pieces)
    for document in results.wrong:
        problem = f"the chunks of {document.path} make another file than the one that was backed up"
        affected = [
            AffectedFile(one.id, reference.agent, entry.path)
            for one in listed.snapshots.readable
            for reference in one.manifest.listings
            if reference.sha256 in listed.listings
            for entry in listed.listings[reference.sha256].files
            if (entry.stored_sha256, entry.chunks) == (document.sha256, document.chunks)
        ]
        users = tuple(dict.fromkeys(one.snapshot for one in affected))
        findings.append(Finding("snapshots", problem, (), users, tuple(affected), _ADVICE_CHUNKS))
    notes += [
        f"{document.path} is no whole JSON, and was none when it was backed up"
        for document in results.unparsed
        if document.chunks and not _is_packed(reader, document)
    ]


def _is_packed(reader: Reader, document: Document) -> bool:
    """Whether a document is gzip, which agents write under the plain name too."""
    try:
        return is_gzip(reader.read_chunk(bytes.fromhex(document.chunks[0])))
    except UNREADABLE:
        return False


def _explain(listed: _Listed, key: str, problem: str, lost: set[str]) -> Finding:
    """A finding with the chunks that are lost by it, and the backups and files that they touch."""
    touched = {
        sha256: [entry.path for entry in listing.files if not lost.isdisjoint(entry.chunks)]
        for sha256, listing in (listed.listings.items() if lost else ())
    }
    snapshots, files = [], []
    for snapshot in listed.snapshots.readable:
        hit = False
        for reference in snapshot.manifest.listings:
            paths = touched.get(reference.sha256, [])
            files += [AffectedFile(snapshot.id, reference.agent, path) for path in paths]
            hit = hit or bool(paths) or not lost.isdisjoint(reference.chunks)
        if hit:
            snapshots.append(snapshot.id)
    advice = _ADVICE_CHUNKS if lost else _ADVICE_COPY
    return Finding(key, problem, tuple(sorted(lost)), tuple(snapshots), tuple(files), advice)
