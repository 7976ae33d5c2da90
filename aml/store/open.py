"""Finding and opening a store."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from aml.errors import StoreNotFoundError, UsageError
from aml.fs.access import explained
from aml.fs.files import is_there
from aml.model.kinds import KINDS
from aml.store.layout import RecordFile, choose, is_agent_name, is_text, record_file

#: Where agents keep their memory inside a project.
DEFAULT_STORE = Path(".loom", "memory")


class Store(Struct, frozen=True):
    """An open store. ``root`` is real (no link on the way), so one store has one lock and one ledger by any name."""

    root: Path
    max_unpacked_bytes: int = 1 << 30

    @property
    def state(self) -> Path:
        """AML's own folder beside the store: run journal, notes of locks."""
        return self.root.with_name(self.root.name + ".aml")

    @property
    def keep(self) -> Path:
        """The folder beside the store for what must outlive it: archives of removed records."""
        return self.root.with_name(self.root.name + "-backup")

    def agents(self) -> tuple[str, ...]:
        """Names of all agents, sorted. Links are not followed: what they point at belongs to somebody else."""
        return tuple(name for name in self._folders() if is_agent_name(name) and is_text(name))

    def strangers(self) -> tuple[str, ...]:
        """Names of folders that would be agents if their names were text here; nothing there is ever touched."""
        return tuple(name for name in self._folders() if is_agent_name(name) and not is_text(name))

    def _folders(self) -> list[str]:
        with explained("list", self.root), os.scandir(self.root) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    def choose_agents(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The agents asked for, or all; raises UsageError for a name that no agent here has."""
        return choose(wanted, self.agents(), "agent")

    def record_files(self, agent: str) -> tuple[RecordFile, ...]:
        """An agent's record files that exist, in the order of the kinds."""
        files = (record_file(self.root, agent, kind) for kind in KINDS)
        return tuple(file for file in files if is_there(file.path))


def settings_file_for(root: Path) -> Path:
    """The settings of the project that a store belongs to: aml.toml beside the memory folder."""
    return root.parent / "aml.toml"


def find_store(start: Path) -> Path:
    """The nearest ``.loom/memory`` from ``start`` upwards. Raises StoreNotFoundError."""
    for folder in (start, *start.parents):
        if (folder / DEFAULT_STORE).is_dir():
            return folder / DEFAULT_STORE
    raise StoreNotFoundError(
        f"no {DEFAULT_STORE} in {start} or any folder above it",
        advice="name the store with --store PATH or AML_STORE, or try aml demo",
    )


def open_store(path: Path | str, *, max_unpacked_bytes: int = 1 << 30) -> Store:
    """Open the store at ``path`` (a memory folder). Raises StoreNotFoundError, UsageError for one that cannot be."""
    root = Path(os.path.realpath(path))
    if not root.is_dir():
        what = "it is not a folder" if root.exists() else "there is nothing there"
        raise StoreNotFoundError(
            f"no store at {path}: {what}", advice="name the memory folder itself, such as .loom/memory"
        )
    for inside in (DEFAULT_STORE, Path(DEFAULT_STORE.name)):
        if (root / inside).is_dir() and (inside is DEFAULT_STORE or root.name == DEFAULT_STORE.parts[0]):
            raise StoreNotFoundError(
                f"{path} is not a store, but holds one", advice=f"say --store {Path(path) / inside}"
            )
    refuse_other_folders(path, root)
    if root == Path(root.anchor):
        raise UsageError(f"{root} cannot be a store", advice="name the memory folder itself, such as .loom/memory")
    store = Store(root, max_unpacked_bytes)
    for beside in (store.state, store.keep):
        # what AML keeps for itself would be taken for memory
        if os.path.islink(beside) and Path(os.path.realpath(beside)).is_relative_to(root):
            raise UsageError(f"{beside} is a link that leads into the store", advice="remove that link")
    return store


def refuse_other_folders(path: Path | str, root: Path) -> None:
    """Raise StoreNotFoundError for a folder that lies in or beside a store, and is easily taken for one."""
    if _holds_records(root) and not any(_holds_records(folder) for folder in root.iterdir()):
        what = "it is the folder of one agent"
        advice = f"say --store {Path(path).parent}"
    elif os.path.exists(root / "repository.json") or all(os.path.isdir(root / one) for one in ("packs", "snapshots")):
        what, advice = "it is a repository of backups", "name the memory folder itself, such as .loom/memory"
    elif os.path.exists(root / "run.lock"):
        what, advice = "it is AML's own folder", "name the memory folder itself, such as .loom/memory"
    else:
        return
    raise StoreNotFoundError(f"{path} is not a store: {what}", advice=advice)


def _holds_records(folder: Path) -> bool:
    return any(os.path.isfile(folder / kind.file_name) for kind in KINDS)
