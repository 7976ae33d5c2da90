"""What verification has found so far: when each pack was last whole, and which chunks are damaged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from aml.fs.durable import write_durably
from aml.fs.files import MOST_STATE, is_there, read_regular
from aml.ledger.operations import state_lock
from aml.model.undecodable import UNDECODABLE
from aml.store.open import Store

if TYPE_CHECKING:
    from aml.repository.check import CheckReport

_NAME = "verified.json"
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
#: Attribute of a memory that was loaded: what it held then. No part of it, and never written.
_LOADED = "loaded"


class Checked(Struct, dict=True):
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
    checked = _read(store).get(repository, Checked())
    vars(checked)[_LOADED] = _copy(checked)
    return checked


def save_checked(store: Store, repository: str, checked: Checked) -> None:
    """Write down what has changed in ``checked`` since it was loaded; what others wrote meanwhile stays.

    Raises FileAccessError, LockedError.
    """
    with state_lock(store):
        known = _read(store)
        there = known.get(repository)
        # what is lost in the meantime comes back from what this run knows
        merged = checked if there is None else _merged(there, vars(checked).get(_LOADED, Checked()), checked)
        write_durably(store.state / _NAME, msgspec.json.encode(known | {repository: merged}))


def _copy(checked: Checked) -> Checked:
    return Checked(dict(checked.packs), list(checked.damaged_packs), list(checked.damaged_chunks))


def _merged(there: Checked, before: Checked, after: Checked) -> Checked:
    """``there`` with all that changed from ``before`` to ``after``."""
    packs = {name: when for name, when in there.packs.items() if name in after.packs or name not in before.packs}
    for name, when in after.packs.items():
        if before.packs.get(name) != when:
            packs[name] = max(when, packs.get(name, when))
    return Checked(
        packs,
        _merged_names(there.damaged_packs, before.damaged_packs, after.damaged_packs),
        _merged_names(there.damaged_chunks, before.damaged_chunks, after.damaged_chunks),
    )


def _merged_names(there: list[str], before: list[str], after: list[str]) -> list[str]:
    gone, added = set(before) - set(after), set(after) - set(before)
    return sorted((set(there) - gone) | added)


def _read(store: Store) -> dict[str, Checked]:
    path = store.state / _NAME
    if not is_there(path):
        return {}
    try:
        known = msgspec.json.decode(read_regular(path, most=MOST_STATE), type=dict[str, Checked])
    except UNDECODABLE:
        # only a memory: what is forgotten is checked again
        return {}
    for one in known.values():
        one.damaged_chunks = [name for name in one.damaged_chunks if _HEX.fullmatch(name)]
    return known
