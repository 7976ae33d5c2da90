"""The golden repository: how ``tests/golden/repository-format-1.*`` were made, and how a test opens them.

The two files stay as they are, since users have repositories like it: a later AML must read it all the same. Another
one is only due for another format: ``python -m tests.support.golden_repository FOLDER`` makes one in an empty folder.
It needs a file system with names that are not UTF-8, as Linux has.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from aml.backup.options import BackupOptions
from aml.repository.local_folder import LocalFolder
from aml.repository.manifest import Unread, path_fields
from aml.repository.snapshots import delete_snapshot, read_snapshot, write_snapshot
from aml.store.open import Store, open_store
from aml.workflows.backup import backup
from tests.support.records import Record, decision, pattern, solution
from tests.support.stores import encode_array, write_array

NAME = "repository-format-1"
GOLDEN = Path(__file__).parents[1] / "golden"
START = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0

#: Where a manifest says that it was made; not the machine that made it, which is nobody's business.
HOST, SOURCE = "golden", "/srv/project/.loom/memory"
#: Not UTF-8, as an old system may have left it.
ODD = os.fsdecode(b"alpha/notes/\xff old.md")
#: Record files that the store holds as one gzip member.
PACKED = frozenset({"alpha/solutions.json", "Zoë/patterns.json"})
UNREAD = ("Zoë/secret.json", os.fsdecode("Zoë/".encode() + b"\xfe.json"))

_MODES = {"alpha/run.sh": 0o755, "global/policy.json": 0o444, "alpha/notes/draft.md": 0o640, "alpha/notes": 0o2750}
_NS = 1_000_000_000


def unpack(folder: Path) -> Path:
    """The golden repository in ``folder``, where a store at ``.loom/memory`` keeps its own; returns that."""
    with tarfile.open(GOLDEN / f"{NAME}.tar.gz") as archive:
        archive.extractall(folder / ".loom/memory-backup", filter="data")
    return folder / ".loom/memory-backup"


def expectations() -> list[dict[str, Any]]:
    """What each backup in it is and holds, the oldest first; see ``_expected``."""
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{NAME}.json").read_text(encoding="ascii"))
    return found


def look(root: Path) -> dict[str, dict[str, Any]]:
    """Every file and folder below ``root`` by path: mode, modification time (ns), and of a file size and SHA-256.

    Of what is ``gzip`` it is the content that counts, since it may be packed in another way.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        name, about = path.relative_to(root).as_posix(), path.lstat()
        one: dict[str, Any] = {"mode": about.st_mode & 0o7777, "mtime_ns": about.st_mtime_ns}
        if not path.is_dir():
            data = path.read_bytes()
            if name in PACKED:
                data, one["gzip"] = gzip.decompress(data), True
            one |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        found[name] = one
    return found


def generate(folder: Path) -> None:
    """Make the repository and what is expected of it. Refuses to write over anything."""
    for suffix in ("tar.gz", "json"):
        if (folder / f"{NAME}.{suffix}").exists():
            raise FileExistsError(f"{folder} holds one already")
    with tempfile.TemporaryDirectory() as place:
        memory = Path(place) / ".loom/memory"
        backups = _make_backups(memory)
        archive = _archive(memory.with_name("memory-backup"))
    with open(folder / f"{NAME}.tar.gz", "xb") as packed:
        packed.write(archive)
    with open(folder / f"{NAME}.json", "x", encoding="ascii") as told:
        json.dump(backups, told, indent=1, sort_keys=True)
        told.write("\n")


def _make_backups(memory: Path) -> list[dict[str, Any]]:
    _first_state(memory)
    _settle(memory, 0)
    time.sleep(2.1)  # of a file that has just changed no stat is kept
    take = partial(_back_up, open_store(memory))
    backups = [
        take(0, BackupOptions(kind="full", tags=("before-upgrade", "weekly"), description="Alles auf Anfang: ü, 学")),
    ]
    write_array(memory / "alpha/patterns.json", _patterns(300)[2:])
    (memory / "alpha/notes/draft.md").unlink()
    (memory / "alpha/notes/new.md").write_bytes(b"# New\n")
    _settle(memory, 1)
    backups.append(take(1, BackupOptions(tags=("auto",))))
    write_array(memory / "alpha/solutions.json", _solutions(60), form="gzip")
    _settle(memory, 2)
    backups.append(take(2, BackupOptions(kind="full", agents=("alpha",), description="alpha alone")))
    (memory / "Zoë/secret.json").unlink()
    _settle(memory, 3)
    backups.append(take(3, BackupOptions(), unread=UNREAD))
    (memory / "Zoë/secret.json").write_bytes(b'{"now": "to be read"}')
    write_array(memory / "Zoë/patterns.json", _patterns(90), form="gzip")
    (memory / "loose.txt").unlink()
    _settle(memory, 4)
    backups.append(take(4, BackupOptions(tags=("auto",))))
    return backups


def _first_state(memory: Path) -> None:
    write_array(memory / "alpha/patterns.json", _patterns(300))
    write_array(memory / "alpha/solutions.json", _solutions(40), form="gzip")
    (memory / "alpha/decisions.json").write_bytes(encode_array([decision(id="d1")])[:-9])
    (memory / "alpha/notes").mkdir()
    (memory / "alpha/notes/draft.md").write_bytes(b"# Draft\n")
    (memory / "alpha/notes/ü and\nmore.md").write_bytes("Übrig: 学\n".encode())
    (memory / ODD).write_bytes(b"caf\xe9\n")
    (memory / "alpha/run.sh").write_bytes(b"#!/bin/sh\n")
    write_array(memory / "Zoë/patterns.json", _patterns(80), form="gzip")
    write_array(memory / "Zoë/solutions.json", _solutions(30), indent=None)
    (memory / "Zoë/empty.json").touch()
    (memory / "Zoë/secret.json").write_bytes(b"{}")
    (memory / "Zoë/nothing/below").mkdir(parents=True)
    (memory / "global").mkdir()
    (memory / "global/policy.json").write_bytes(b'{"keep": ["all", NaN]}\n')
    (memory / "global/two.json").write_bytes(gzip.compress(b'{"members":', mtime=0) + gzip.compress(b" 2}", mtime=0))
    (memory / "loose.txt").write_bytes(b"loose\n")


def _patterns(count: int) -> list[Record]:
    return [pattern(id=f"p{number}", rationale=_text(number)) for number in range(count)]


def _solutions(count: int) -> list[Record]:
    return [solution(id=f"s{number}", lesson=_text(1000 + number)) for number in range(count)]


def _text(seed: int) -> str:
    random = Random(seed)
    return " ".join(f"{random.getrandbits(11):x}" for _ in range(40))


def _settle(memory: Path, hour: int) -> None:
    """Modes, and the hour of the state as the time of what is new in it."""
    for path in sorted(memory.rglob("*"), reverse=True):
        name = path.relative_to(memory).as_posix()
        path.chmod(_MODES.get(name, 0o700 if path.is_dir() else 0o600))
        if path.stat().st_mtime_ns not in [_moment(name, earlier) for earlier in range(hour)]:
            os.utime(path, ns=(0, _moment(name, hour)))


def _moment(name: str, hour: int) -> int:
    """Within the hour before a backup, to the nanosecond (since 1970)."""
    return (int(START) + 3600 * (hour - 1)) * _NS + int.from_bytes(
        hashlib.sha256(os.fsencode(name)).digest()[:5], "big"
    )


def _back_up(store: Store, hour: int, options: BackupOptions, unread: tuple[str, ...] = ()) -> dict[str, Any]:
    """A backup, whose manifest is then written again for another machine and with what could not be read."""
    made = backup(store, options, now=START + hour * HOUR)
    destination = LocalFolder(store.keep)
    manifest = read_snapshot(destination, made.id).manifest
    changed = msgspec.structs.replace(
        manifest,
        host=HOST,
        source=SOURCE,
        unread=[Unread(name, "Permission denied", exact) for name, exact in map(path_fields, unread)],
        clock_doubted=bool(unread),
    )
    delete_snapshot(destination, made.id)
    return _expected(store, write_snapshot(destination, changed).id, hour, options, unread)


def _expected(
    store: Store, identity: str, hour: int, options: BackupOptions, unread: tuple[str, ...]
) -> dict[str, Any]:
    agents = options.agents
    tree = {path: one for path, one in look(store.root).items() if not agents or path.partition("/")[0] in agents}
    return {
        "id": identity,
        "time": START + hour * HOUR,
        "kind": options.kind,
        "agents": list(agents) or None,
        "tags": list(options.tags),
        "description": options.description,
        "unread": list(unread),
        "tree": tree,
    }


def _archive(repository: Path) -> bytes:
    """The repository as tar.gz that depends on its files' names and bytes alone; without its lock."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(repository.rglob("*")):
            if path.is_file() and path.name != "lock":
                entry = tarfile.TarInfo(path.relative_to(repository).as_posix())
                entry.size, entry.mode, entry.mtime = path.stat().st_size, 0o600, int(START)
                archive.addfile(entry, io.BytesIO(path.read_bytes()))
    return packed.getvalue()


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
