"""Small repositories, and ways to make and read backups in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from aml.repository.destination import Destination
from aml.repository.manifest import FORMAT, FileEntry, FolderEntry, Kind, Listing, Manifest, Scope, Totals, Unread
from aml.repository.repository import Reader, create, writing
from aml.repository.snapshots import Snapshot
from tests.support.destinations import InMemory

NOW = datetime(2026, 11, 21, 3, 13, 32, 123456, UTC)
HOUR = timedelta(hours=1)

Tree = Mapping[str, bytes]


def manifest_of(repository: str, **changes: object) -> Manifest:
    fields: dict[str, object] = {
        "format": FORMAT,
        "repository": repository,
        "kind": "full",
        "parent": None,
        "sequence": 1,
        "time": NOW,
        "host": "here",
        "scope": Scope(),
        "unread": [],
        "schemas": {"1.1.0": 3},
        "tags": ["nightly"],
        "description": "one of the tests'",
        "redactions": [],
        "totals": Totals(),
        "listings": [],
    }
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]


def back_up(
    destination: Destination,
    tree: Tree,
    *,
    moment: datetime = NOW,
    kind: Kind = "full",
    unread: Sequence[str] = (),
    agents: tuple[str, ...] | None = None,
    pack_bytes: int = 16 << 20,
    folders: Sequence[str] = (),
) -> Snapshot:
    """Back up a tree of files (path to bytes); what lies before the first slash is its agent."""
    repository = create(destination, moment).id
    with writing(destination, pack_bytes=pack_bytes) as writer:
        by_agent: dict[str | None, list[FileEntry]] = {}
        for path, data in sorted(tree.items()):
            agent = path.partition("/")[0] if "/" in path else None
            stored = writer.store_document(data)
            assert stored.sha256 == hashlib.sha256(data).hexdigest()
            entry = FileEntry(path, stored.size, 0o600, 0, stored.sha256, stored.chunks)
            by_agent.setdefault(agent, []).append(entry)
        empty: dict[str | None, list[FolderEntry]] = {}
        for path in folders:
            empty.setdefault(path.partition("/")[0], []).append(FolderEntry(path, 0o700, 0))
        listings = [
            writer.store_listing(agent, Listing(FORMAT, empty.get(agent, []), files))
            for agent, files in by_agent.items()
        ]
        manifest = manifest_of(
            repository,
            kind=kind,
            sequence=writer.snapshots().next_sequence(),
            time=moment,
            listings=listings,
            scope=Scope(agents),
            unread=[Unread(path, "no right") for path in unread],
        )
        return writer.commit(manifest)


def contents(reader: Reader, snapshot: Snapshot) -> dict[str, bytes]:
    """What a backup holds: path to bytes. Raises what reading raises."""
    return {
        entry.path: reader.read_stored(entry)
        for reference in snapshot.manifest.listings
        for entry in reader.read_listing(reference).files
    }


def copy_of(destination: InMemory) -> InMemory:
    copy = InMemory()
    copy.values, copy.times = dict(destination.values), dict(destination.times)
    return copy


def records(count: int, *, seed: int = 1, size: int = 900) -> bytes:
    """A pretty-printed array of so many records of about ``size`` bytes, as the agents' runtime writes it."""
    filler = hashlib.shake_128(b"%d" % seed).hexdigest(size * count // 2 + 1)
    texts = [
        f'  {{\n    "id": "{hashlib.sha256(b"%d %d" % (seed, number)).hexdigest()[:32]}",\n'
        f'    "text": "{filler[number * size : (number + 1) * size]}"\n  }}'
        for number in range(count)
    ]
    return ("[\n" + ",\n".join(texts) + "\n]").encode()
