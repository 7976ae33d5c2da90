"""Backups of odd trees, and what brings them back without AML: the script and the recipes of docs/recover.md."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from aml.repository.local_folder import LocalFolder
from aml.repository.manifest import FORMAT, FileEntry, FolderEntry, Listing, Scope, Unread, path_fields
from aml.repository.repository import Writer, create, writing
from aml.repository.snapshots import Snapshot
from tests.unit.repository.repositories import NOW, manifest_of, records

PAGE = Path(__file__).parents[2] / "docs" / "recover.md"
ODD = os.fsdecode(b"\xff odd.json")
#: What a path of a tree is: bytes and whether they are packed, or None for a folder; mode, and time in ns.
Node = tuple[tuple[bytes, bool] | None, int, int]
FILES: Mapping[str, bytes] = {
    "alice/patterns.json": records(300),
    "alice/empty.json": b"",
    "alice/notes/ü and\nmore.md": b"# Notes\n",
    f"alice/notes/{ODD}": b"odd",
    "bob/solutions.json": gzip.compress(records(120, seed=2)),
    "bob/random.bin": hashlib.shake_128(b"bob").digest(300_000),
    "Zoë/decisions.json": b"[]",
    "c.json": b"{}",
}
FOLDERS = ("alice/nothing", "bob/deep/deeper", "bob/locked")


def program() -> str:
    """The script, as a reader copies it."""
    (found,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(found)


def run_script(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The script with these words, by a Python that has its standard library alone."""
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", program(), *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="backslashreplace", timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def restore_with_script(repository: Path, wanted: str, target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Restore the backup of that id (or ``latest``) into ``target``, which must not exist yet."""
    return run_script(repository, wanted, target, *words)


def recipes(name: str) -> str:
    """The commands that the page shows under that name, one after the other."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(rf"<!-- recipe: {re.escape(name)} -->\n```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{PAGE.name} has no recipe {name!r}"
    return "".join(found)


def run_recipe(script: str, folder: Path, *, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    if any(shutil.which(tool) is None for tool in ("jq", "sha256sum")):
        assert not os.environ.get("AML_REQUIRE_JQ"), "jq and sha256sum are required here"
        pytest.skip("jq or sha256sum is not installed")
    environment = os.environ | {"TMPDIR": str(folder.parent)}
    command = [shell, "-euc", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def make_tree(root: Path) -> None:
    """A store with all that is odd about names, forms, modes and times."""
    for path in FOLDERS:
        (root / path).mkdir(parents=True)
    for path, data in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "bob/locked/in.json").write_bytes(b"[1]")
    (root / "bob/random.bin").chmod(0o640)
    (root / "c.json").chmod(0o444)
    (root / "bob/locked").chmod(0o500)
    (root / "bob").chmod(0o2750)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number * 10**12))


def look(root: Path) -> dict[str, Node]:
    """Every file and folder of a tree; what is packed, unpacked, since it may be packed in another way."""
    found: dict[str, Node] = {}
    for path in root.rglob("*"):
        about = path.lstat()
        content = None
        if not path.is_dir():
            data = path.read_bytes()
            packed = data[:2] == b"\x1f\x8b"
            content = (gzip.decompress(data) if packed else data, packed)
        found[path.relative_to(root).as_posix()] = (content, about.st_mode & 0o7777, about.st_mtime_ns)
    return found


def stored_file(writer: Writer, root: Path, path: Path) -> FileEntry:
    data, about = path.read_bytes(), path.stat()
    name, name_hex = path_fields(path.relative_to(root).as_posix())
    whole = hashlib.sha256(data).hexdigest()
    mode = about.st_mode & 0o7777
    if data[:2] != b"\x1f\x8b":
        stored = writer.store_document(data)
        return FileEntry(name, len(data), mode, about.st_mtime_ns, whole, stored.chunks, path_hex=name_hex)
    stored = writer.store_document(gzip.decompress(data))
    form = (whole, stored.chunks, "gzip", stored.sha256, stored.size)
    return FileEntry(name, len(data), mode, about.st_mtime_ns, *form, path_hex=name_hex)


def back_up_tree(
    repository: Path,
    root: Path,
    *,
    moment: datetime = NOW,
    agents: tuple[str, ...] | None = None,
    unread: Sequence[str] = (),
) -> Snapshot:
    """Back up a folder, or some agents' part of it: a listing for each, and one for what belongs to none."""
    destination = LocalFolder(repository)
    identity = create(destination, moment).id
    with writing(destination, pack_bytes=50_000) as writer:
        listings = []
        for agent in sorted({path.name if path.is_dir() else "" for path in root.iterdir()}):
            if agents is not None and agent not in agents:
                continue
            paths = sorted([root / agent, *(root / agent).rglob("*")] if agent else root.glob("*.json"))
            folders = []
            for path in paths:
                if path.is_dir():
                    name, name_hex = path_fields(path.relative_to(root).as_posix())
                    about = path.stat()
                    folders.append(FolderEntry(name, about.st_mode & 0o7777, about.st_mtime_ns, name_hex))
            files = [stored_file(writer, root, path) for path in paths if not path.is_dir()]
            listings.append(writer.store_listing(agent or None, Listing(FORMAT, folders, files)))
        manifest = manifest_of(
            identity,
            sequence=writer.snapshots().next_sequence(),
            time=moment,
            listings=listings,
            scope=Scope(agents),
            unread=[Unread(path, "no right") for path in unread],
        )
        return writer.commit(manifest)


def list_of_files(repository: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in repository.rglob("*") if path.is_file()}


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x55
    path.write_bytes(data)


def entry_at(writer: Writer, path: str, data: bytes, path_hex: str | None = None) -> FileEntry:
    stored = writer.store_document(data)
    return FileEntry(path, stored.size, 0o600, 0, stored.sha256, stored.chunks, path_hex=path_hex)


def back_up_entries(repository: Path, entries: Sequence[tuple[str, str | None]], folders: Sequence[str] = ()) -> None:
    """A backup with a listing of such paths (and path_hex), and one of an agent that is well."""
    destination = LocalFolder(repository)
    identity = create(destination, NOW).id
    with writing(destination) as writer:
        files = [entry_at(writer, path, b"%d" % number, exact) for number, (path, exact) in enumerate(entries)]
        odd = Listing(FORMAT, [FolderEntry(path, 0o700, 0) for path in folders], files)
        good = Listing(FORMAT, [], [entry_at(writer, "good/x.json", b"good")])
        listings = [writer.store_listing("odd", odd), writer.store_listing("good", good)]
        writer.commit(manifest_of(identity, listings=listings))
