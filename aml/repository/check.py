"""Verification of a repository in tiers. Damage never raises: it becomes a finding that says what it touches."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct

from aml.errors import DamagedError, FileAccessError, NotFoundError, SchemaError
from aml.repository.check_data import Document, check_documents, check_pack
from aml.repository.destination import Destination
from aml.repository.index import load_index
from aml.repository.manifest import Listing, ListingRef
from aml.repository.repository import DESCRIPTION_KEY, Description, Reader, describe
from aml.repository.snapshots import Snapshot, Snapshots
from aml.repository.tables import pack_key

#: quick: structure and sizes. packs: and the SHA-256 of every pack. deep: and every document put together, hashed and
#: parsed, and every other chunk unpacked and hashed. sample: quick, and every chunk of some packs.
Tier = Literal["quick", "packs", "deep", "sample"]

_ADVICE_CHUNKS = "run aml backup create --full: it writes again what the store still has"
_ADVICE_INDEX = "nothing is lost: the next backup writes the index again from the packs"
_ADVICE_SNAPSHOT = "remove that file once you do not need that backup; all others are unaffected"


class AffectedFile(Struct, frozen=True):
    """A file of a backup that cannot be restored whole; ``agent`` is None for what belongs to no agent."""

    snapshot: str
    agent: str | None
    path: str


class Finding(Struct, frozen=True):
    """One piece of damage: the file of the repository, what is wrong, what it touches, what to do next.

    ``chunks`` are SHA-256 in hex, ``snapshots`` ids; ``files`` lists each affected file of each of them.
    """

    key: str
    problem: str
    chunks: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    files: tuple[AffectedFile, ...] = ()
    advice: str = ""


class CheckReport(Struct, frozen=True):
    """What was checked (names of packs, number of chunks and backups), what is wrong, and what is worth a note.

    A note is a document that is stored as it was, and is no whole JSON although its name says so.
    """

    tier: Tier
    findings: list[Finding]
    notes: list[str]
    snapshots: int
    chunks: int
    packs: list[str]


class _Listed(Struct):
    """The listings that could be read, by their SHA-256, each once."""

    snapshots: Snapshots
    listings: dict[str, Listing]


def check(
    destination: Destination, tier: Tier = "quick", *, sample: float = 0.1, checked: Mapping[str, float] | None = None
) -> CheckReport:
    """Verify a repository, whose lock the caller holds. Raises FileAccessError where its folder cannot be listed.

    ``sample`` is the share of all packs (0 to 1, at least one pack) that the tier of that name looks into: those
    whose time in ``checked`` (pack name to seconds since 1970) is the oldest, never checked ones first.
    """
    findings: list[Finding] = []
    notes: list[str] = []
    description = _describe(destination, findings)
    loaded = load_index(destination)
    reader = Reader(destination, description, loaded)
    findings += [
        Finding(flaw.key, flaw.reason, advice=_ADVICE_INDEX if flaw.key.startswith("index/") else _ADVICE_CHUNKS)
        for flaw in loaded.flaws
    ]
    findings += [Finding(pack_key(table.pack), "it is missing", advice=_ADVICE_CHUNKS) for table in loaded.missing]
    snapshots = reader.snapshots()
    listed = _Listed(snapshots, {})
    findings += [Finding(flaw.key, flaw.reason, advice=_ADVICE_SNAPSHOT) for flaw in snapshots.flaws]
    _check_structure(reader, listed, findings)
    packs = _chosen(reader, tier, sample, checked or {})
    verified: set[bytes] = set()
    if tier == "deep":
        verified = _check_contents(reader, listed, findings, notes)
    bad: dict[str, tuple[str, list[bytes]]] = {}
    for name in packs:
        problem, chunks = check_pack(reader, name, verified, unpacked=tier != "packs")
        if problem:
            bad[name] = (problem, chunks)
    for name, (problem, chunks) in bad.items():
        findings.append(_explain(listed, pack_key(name), problem, {chunk.hex() for chunk in chunks}))
    findings.sort(key=lambda one: one.key)
    return CheckReport(tier, findings, notes, len(snapshots.readable), len(reader.index), packs)


def check_new_packs(reader: Reader, names: Collection[str]) -> list[Finding]:
    """Read packs back that were just written: file, table and every chunk of them. Names no backups and files."""
    findings = []
    for name in names:
        problem, chunks = check_pack(reader, name, set(), unpacked=True)
        if problem:
            bad = tuple(chunk.hex() for chunk in chunks)
            findings.append(Finding(pack_key(name), problem, bad, advice=_ADVICE_CHUNKS))
    return findings


def _describe(destination: Destination, findings: list[Finding]) -> Description | None:
    try:
        return describe(destination)
    except (DamagedError, NotFoundError, SchemaError, FileAccessError) as error:
        advice = "every backup names the id it should hold: docs/repository-format.md has the recipe"
        findings.append(Finding(DESCRIPTION_KEY, error.message, advice=advice))
        return None


def _check_structure(reader: Reader, listed: _Listed, findings: list[Finding]) -> None:
    """Every backup's listings are whole, and every chunk that they name is there and as long as it should be."""
    missing: set[str] = set()
    strangers = []
    for snapshot in listed.snapshots.readable:
        for reference in snapshot.manifest.listings:
            if reference.sha256 not in listed.listings:
                _check_listing(reader, snapshot, reference, listed, missing, findings)
        if reader.described is not None and snapshot.manifest.repository != reader.described.id:
            strangers.append(snapshot.id)
    if strangers:
        problem = "its id is not the one that backups name"
        findings.append(Finding(DESCRIPTION_KEY, problem, snapshots=tuple(strangers)))
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
    key = f"snapshots/{snapshot.id}.json.gz"
    try:
        listing = reader.read_listing(reference)
    except (DamagedError, NotFoundError, FileAccessError) as error:
        subject = "what belongs to no agent" if reference.agent is None else f"agent {reference.agent}"
        users = [one.id for one in listed.snapshots.readable if reference in one.manifest.listings]
        problem = f"the list of files of {subject} cannot be read: {error.message}"
        findings.append(Finding(key, problem, tuple(reference.chunks), tuple(users), advice=_ADVICE_CHUNKS))
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


def _chosen(reader: Reader, tier: Tier, sample: float, checked: Mapping[str, float]) -> list[str]:
    names = sorted(reader.loaded.packs)
    if tier == "quick":
        return []
    if tier == "sample":
        names.sort(key=lambda name: (checked.get(name, -math.inf), name))
        return names[: max(1, math.ceil(sample * len(names)))]
    return names


def _check_contents(reader: Reader, listed: _Listed, findings: list[Finding], notes: list[str]) -> set[bytes]:
    """Put every document together; returns the chunks that were read and are right."""
    documents: dict[tuple[str, ...], Document] = {}
    for listing in listed.listings.values():
        for entry in listing.files:
            parse = entry.damaged is None and entry.path.endswith(".json")
            document = Document(entry.path, entry.chunks, entry.stored_sha256, entry.stored_size, parse)
            documents.setdefault((entry.stored_sha256, *entry.chunks), document)
    results = check_documents(reader, list(documents.values()))
    for document in results.wrong:
        chunks = {name for name in document.chunks if bytes.fromhex(name) not in results.verified}
        if not chunks:
            # all chunks are right, so no pack will be named for it
            wrong = "the chunks of a file do not make the file that was backed up"
            findings.append(_explain(listed, "snapshots", wrong, set(document.chunks)))
    notes += [f"{path} is no whole JSON, and was none when it was backed up" for path in results.unparsed]
    return results.verified


def _explain(listed: _Listed, key: str, problem: str, chunks: set[str]) -> Finding:
    """A finding with the backups and files that bad or missing chunks touch."""
    if not chunks:
        return Finding(key, problem, advice=_ADVICE_CHUNKS)
    touched = {
        sha256: [entry.path for entry in listing.files if not chunks.isdisjoint(entry.chunks)]
        for sha256, listing in listed.listings.items()
    }
    snapshots, files = [], []
    for snapshot in listed.snapshots.readable:
        hit = False
        for reference in snapshot.manifest.listings:
            paths = touched.get(reference.sha256, [])
            files += [AffectedFile(snapshot.id, reference.agent, path) for path in paths]
            hit = hit or bool(paths) or not chunks.isdisjoint(reference.chunks)
        if hit:
            snapshots.append(snapshot.id)
    return Finding(key, problem, tuple(sorted(chunks)), tuple(snapshots), tuple(files), _ADVICE_CHUNKS)
