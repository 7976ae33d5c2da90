"""Backups of small real stores through the command line, ways to damage them, and repositories written by hand."""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aml as package
from aml.repository.local_folder import LocalFolder
from aml.repository.manifest import FORMAT, FileEntry, FolderEntry, Listing, ListingRef, Manifest, Scope, Totals, Unread
from aml.repository.repository import create, writing
from tests.cli.running import Answer, aml, kept, small_store
from tests.support.records import NOW
from tests.support.stores import encode_array, gunzipped, make_store, write_array

NOBODY = 65534
DAY = 86_400.0
LIVE = b'[{"id":"live"}]'
OTHER = b'[{"id":"other"}]'


def at(*, days: float = 0, seconds: float = 0) -> float:
    """Seconds since 1970 UTC of a moment so long after NOW."""
    return NOW.timestamp() + days * DAY + seconds


def project_in(folder: Path, agents: Sequence[str] = ("alpha", "beta")) -> Path:
    """A project whose store has these agents, a global file, an audit folder and an empty folder."""
    make_store(folder, {name: {"patterns": [kept(f"{name}-{number}") for number in range(3)]} for name in agents})
    memory = folder / ".loom/memory"
    for path, data in {"global/conventions.json": b'{"tabs": false}', "audit/2026.log": b"one line\n"}.items():
        (memory / path).parent.mkdir()
        (memory / path).write_bytes(data)
    (memory / "audit/empty").mkdir()
    return folder


def create_backup(project: Path, *words: str, now: float | None = None) -> str:
    """The id of a backup made by ``aml backup create``."""
    answer = aml(project, "backup", "create", "--json", *words, now=now)
    assert answer.status == 0, answer.out
    identity = answer.envelope["data"]["id"]
    assert isinstance(identity, str)
    return identity


def backed_up(tmp_path: Path) -> tuple[Path, Path]:
    """A project with one backup, and its store, where each agent has written since."""
    project = project_in(tmp_path / "project")
    create_backup(project)
    memory = project / ".loom/memory"
    for agent in ("alpha", "beta"):
        (memory / agent / "patterns.json").write_bytes(LIVE)
    return project, memory


def data_of(project: Path, *words: str, now: float | None = None) -> Any:
    """What a call of ``aml backup`` answers in JSON, whatever its status."""
    return aml(project, "backup", *words, "--json", now=now).envelope["data"]


def ids_in(project: Path) -> list[str]:
    """All readable backups, the oldest first."""
    return [one["id"] for one in data_of(project, "list")["backups"]]


def restored(project: Path, backup: str, folder: Path, *words: str) -> dict[str, bytes | None]:
    """What a backup restores into a new folder."""
    answer = aml(project, "backup", "restore", backup, "--target", str(folder), *words)
    assert answer.status == 0, answer.err
    return tree(folder)


def tree(root: Path) -> dict[str, bytes | None]:
    """Every file (unpacked if it is gzip), link (its target) and folder (None) below a folder, by relative path."""
    found: dict[str, bytes | None] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder) / name
            mode = path.lstat().st_mode
            key = path.relative_to(root).as_posix()
            if stat.S_ISLNK(mode):
                found[key] = b"-> " + os.fsencode(path.readlink())
            elif stat.S_ISDIR(mode):
                found[key] = None
            else:
                found[key] = gunzipped(path.read_bytes())
    return found


def memory_of(project: Path) -> Path:
    return project / ".loom/memory"


def repository_of(project: Path) -> Path:
    return project / ".loom/memory-backup"


def packs_of(project: Path) -> set[Path]:
    return set((repository_of(project) / "packs").rglob("*.gz"))


def manifest_path(project: Path, identity: str) -> Path:
    return repository_of(project) / f"snapshots/{identity}.json.gz"


def write_noise(project: Path, agent: str) -> None:
    """Give an agent patterns that no compression makes small: its list of files lies in another member than they."""
    noise = [hashlib.shake_128(b"%d" % seed).hexdigest(1000) for seed in range(300)]
    write_array(memory_of(project) / agent / "patterns.json", [kept(text[:8]) | {"text": text} for text in noise])


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


# ---- repositories that no AML would write


def forge(
    project: Path,
    files: Sequence[str | FileEntry] = (),
    folders: Sequence[str] = ("alpha",),
    *,
    agent: str | None = "alpha",
    scope: tuple[str, ...] | None = None,
    unread: Sequence[str] = (),
    data: bytes = b"[]",
) -> str:
    """Write a backup with these paths in its listing, unchecked; returns its id."""
    destination = LocalFolder(repository_of(project))
    repository = create(destination, NOW).id
    with writing(destination) as writer:
        stored = writer.store_document(data)
        entries = [
            FileEntry(one, len(data), 0o600, 0, hashlib.sha256(data).hexdigest(), stored.chunks)
            if isinstance(one, str)
            else one
            for one in files
        ]
        listing = Listing(FORMAT, [FolderEntry(path, 0o700, 0) for path in folders], entries)
        reference = writer.store_listing(agent, listing)
        manifest = _manifest(repository, [reference], Scope(scope), [Unread(path, "no right") for path in unread])
        return writer.commit(manifest).id


def _manifest(repository: str, listings: list[ListingRef], scope: Scope, unread: list[Unread]) -> Manifest:
    return Manifest(
        format=FORMAT,
        repository=repository,
        kind="full",
        parent=None,
        sequence=1,
        time=NOW,
        host="elsewhere",
        scope=scope,
        unread=unread,
        schemas={},
        tags=[],
        description="",
        redactions=[],
        totals=Totals(),
        listings=listings,
    )


def plain_array(*ids: str) -> bytes:
    return encode_array([kept(one) for one in ids])


# ---- a user whom modes bind

#: What loads all that AML loads when it is called: that may lie where only root may read.
_CALLS = (
    *("prune --json", "prune -v", "prune history", "prune undo x", "backup create --agent x", "backup create"),
    *("backup list", "backup verify --json", "backup drill", "migrate up --json", "optimize gc", "optimize index"),
    *("query --text x", "monitor metrics", "monitor health", "monitor report --html report.html"),
)


@cache
def _load_all() -> None:
    for found in pkgutil.walk_packages(package.__path__, "aml."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    with tempfile.TemporaryDirectory() as scratch:
        project = small_store(Path(scratch))
        for words in _CALLS:
            aml(project, *words.split())


@contextmanager
def without_rights() -> Iterator[None]:
    """Within it, this process acts as a user whom modes bind: as it does anyway, or where that is root, as nobody."""
    if os.geteuid() != 0:
        yield
        return
    _load_all()
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


def unprivileged(project: Path, *words: str, now: float | None = None) -> Answer:
    """One call by a user whom modes bind."""
    with without_rights():
        return aml(Path("/"), "--store", str(memory_of(project)), *words, now=now)


def give_to_nobody(folder: Path) -> None:
    """Make a folder and all in it belong to whoever ``unprivileged`` acts as."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@contextmanager
def in_commons(fill: Callable[[Path], object]) -> Iterator[Path]:
    """A project that any user can get to, as ``fill`` makes it in a folder, and that belongs to the one whom
    ``unprivileged`` acts as; gone with the block."""
    folder = Path(tempfile.mkdtemp(prefix="aml-test-"))
    folder.chmod(0o755)
    fill(folder)
    give_to_nobody(folder)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and os.geteuid() != 0:
            path.chmod(0o755)
    shutil.rmtree(folder)
