"""Backups by their manifests: write, list, read, find. One damaged manifest hides no other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
from msgspec import Struct

from aml.codec.compression import pack, unpack
from aml.errors import AmlError, DamagedError, NotFoundError
from aml.repository.destination import Destination
from aml.repository.index import Flaw, attempt
from aml.repository.manifest import Manifest, Scope, decode_manifest, format_time

SNAPSHOT_KEY = re.compile(r"snapshots/([0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8})\.json\.gz")
#: A manifest holds a few hundred bytes for each agent.
MAX_MANIFEST_BYTES = 64 << 20

LATEST = "latest"


class Snapshot(Struct, frozen=True):
    """One backup: its id and its manifest. The id is not in the manifest, since it holds the manifest's hash."""

    id: str
    manifest: Manifest


class Snapshots(Struct, frozen=True):
    """All backups in the order of their sequence numbers, and the manifests that cannot be read."""

    readable: list[Snapshot]
    flaws: list[Flaw]

    def next_sequence(self) -> int:
        return max((one.manifest.sequence for one in self.readable), default=0) + 1

    def find(self, wanted: str, *, scope: Scope | None = None) -> Snapshot:
        """The backup of that id or unique prefix, or ``latest``: the complete one with the highest sequence number.

        ``scope`` narrows ``latest`` down to backups of that scope. Raises NotFoundError, or DamagedError where the
        only match cannot be read.
        """
        if wanted == LATEST:
            return self._newest(self.complete(scope), "complete backup")
        matches = [one for one in self.readable if one.id.startswith(wanted)] if wanted else []
        exact = [one for one in matches if one.id == wanted]
        damaged = [flaw for flaw in self.flaws if wanted and flaw.key.startswith(f"snapshots/{wanted}")]
        if len(exact) == 1 or (len(matches) == 1 and not damaged):
            return (exact or matches)[0]
        if not matches and len(damaged) == 1:
            raise DamagedError(f"{damaged[0].key} is damaged: {damaged[0].reason}", advice="choose another backup")
        if matches or damaged:
            names = ", ".join([*(one.id for one in matches), *(flaw.key for flaw in damaged)][:5])
            raise NotFoundError(f"{wanted!r} fits several backups: {names}", advice="give more of the id")
        raise NotFoundError(f"there is no backup {wanted!r}", advice="aml backup list shows all")

    def at(self, moment: datetime, *, scope: Scope | None = None) -> Snapshot:
        """The newest complete backup made at or before ``moment`` (with a zone). Raises NotFoundError."""
        earlier = [one for one in self.complete(scope) if one.manifest.time <= moment]
        return self._newest(earlier, f"complete backup at or before {moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")

    def complete(self, scope: Scope | None = None) -> list[Snapshot]:
        """The complete backups, of one scope where it is given."""
        return [one for one in self.readable if one.manifest.complete and scope in (None, one.manifest.scope)]

    @staticmethod
    def _newest(candidates: Sequence[Snapshot], what: str) -> Snapshot:
        if not candidates:
            raise NotFoundError(f"there is no {what}", advice="aml backup list shows all")
        return max(candidates, key=lambda one: (one.manifest.sequence, one.id))


def snapshot_key(identity: str) -> str:
    return f"snapshots/{identity}.json.gz"


def write_snapshot(destination: Destination, manifest: Manifest) -> Snapshot:
    """Put a manifest, which makes the backup count. Everything it refers to must be on disk already.

    Raises FileAccessError, and AmlError where it is larger than what is read back.
    """
    text = msgspec.json.encode(manifest)
    identity = identify(manifest.time, text)
    packed = pack(text)
    size = max(len(text), len(packed))
    if size > MAX_MANIFEST_BYTES:
        raise AmlError(
            f"the manifest has {size:,} bytes, and one may have {MAX_MANIFEST_BYTES:,}: it names each path that could "
            f"not be read ({len(manifest.unread):,})",
            advice="make these paths readable, or back up fewer agents at a time",
        )
    destination.put(snapshot_key(identity), packed)
    return Snapshot(identity, manifest)


def identify(moment: datetime, text: bytes) -> str:
    """The id of a manifest: its time (UTC) and the first 8 hex digits of the SHA-256 of its JSON text."""
    return f"{format_time(moment)}-{hashlib.sha256(text).hexdigest()[:8]}"


def read_snapshot(destination: Destination, identity: str) -> Snapshot:
    """Raises NotFoundError, and DamagedError where the manifest is not the one that the id names."""
    data = destination.get(snapshot_key(identity), limit=MAX_MANIFEST_BYTES)
    text = unpack(data, max_bytes=MAX_MANIFEST_BYTES)
    manifest = decode_manifest(text)
    if identify(manifest.time, text) != identity:
        raise DamagedError("its content does not have the time and hash in its name")
    return Snapshot(identity, manifest)


def list_snapshots(destination: Destination) -> Snapshots:
    """Every backup; the manifests that are damaged are named in ``flaws``. Raises FileAccessError."""
    readable: list[Snapshot] = []
    flaws: list[Flaw] = []
    for entry in destination.entries("snapshots/"):
        match = SNAPSHOT_KEY.fullmatch(entry.key)
        if match is None:
            continue
        found = attempt(entry.key, flaws, partial(read_snapshot, destination, match[1]))
        if found is not None:
            readable.append(found)
    readable.sort(key=lambda one: (one.manifest.sequence, one.id))
    return Snapshots(readable, flaws)


def newest_readable(destination: Destination) -> Snapshot | None:
    """The last backup by its name that can be read, found without reading all of them."""
    for entry in reversed(destination.entries("snapshots/")):
        match = SNAPSHOT_KEY.fullmatch(entry.key)
        found = attempt(entry.key, [], partial(read_snapshot, destination, match[1])) if match else None
        if found is not None:
            return found
    return None


def newest_believed(destination: Destination) -> Snapshot | None:
    """The backup with the highest sequence number whose clock was not doubted. Raises FileAccessError."""
    believed = [one for one in list_snapshots(destination).readable if not one.manifest.clock_doubted]
    return believed[-1] if believed else None


def delete_snapshot(destination: Destination, identity: str) -> None:
    """Take a backup away: the first step of a rotation, before any pack goes."""
    destination.delete(snapshot_key(identity))
