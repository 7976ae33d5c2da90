"""What verification has found so far: when each pack was last whole, and which chunks are damaged."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from aml.fs.durable import write_durably
from aml.fs.files import is_there, read_regular
from aml.ledger.state import prepare_folder
from aml.repository.check import CheckReport
from aml.store.open import Store

_NAME = "verified.json"
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


class Checked(Struct):
    """The memory of one repository.

    ``packs``: name -> seconds since 1970 UTC when it was last found whole. ``damaged_packs`` are the names of packs
    that a check found damaged, ``damaged_chunks`` the SHA-256 (hex) of chunks that cannot be read: the next backup
    writes them again where the store still has them.
    """

    packs: dict[str, float] = {}
    damaged_packs: list[str] = []
    damaged_chunks: list[str] = []

    def take_up(self, found: CheckReport, now: float) -> None:
        """Take up what a check has found: packs that are whole, packs and chunks that are not."""
        damaged = {name for finding in found.findings if (name := _pack_of(finding.key)) is not None}
        whole = [name for name in found.packs if name not in damaged]
        if found.tier in ("deep", "sample"):
            self.packs |= dict.fromkeys(whole, now)
        self.damaged_packs = sorted({*self.damaged_packs, *damaged} - set(whole))
        # a deep check of all looked at each chunk: what it does not name is whole, or needed by nobody
        known = () if found.tier == "deep" and found.snapshot is None else self.damaged_chunks
        self.damaged_chunks = sorted({*known, *(chunk for finding in found.findings for chunk in finding.chunks)})


def _pack_of(key: str) -> str | None:
    return key.rpartition("/")[2].removesuffix(".gz") if key.startswith("packs/") else None


def load_checked(store: Store, repository: str) -> Checked:
    """What is known of the repository of that id. Raises FileAccessError."""
    found = _read(store).get(repository, Checked())
    found.damaged_chunks = [name for name in found.damaged_chunks if _HEX.fullmatch(name)]
    return found


def save_checked(store: Store, repository: str, checked: Checked) -> None:
    """Raises FileAccessError."""
    prepare_folder(store.state)
    write_durably(store.state / _NAME, msgspec.json.encode(_read(store) | {repository: checked}))


def _read(store: Store) -> dict[str, Checked]:
    path = store.state / _NAME
    if is_there(path):
        try:
            return msgspec.json.decode(read_regular(path), type=dict[str, Checked])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # only a memory: what is forgotten is checked again
            return {}
    return {}
