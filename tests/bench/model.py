"""What a row of the benchmark is: who does which work on what store, and the targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tests.bench.edit import Edit
from tests.bench.generate import Form, Schema

Words = tuple[str, ...]
"""Words of a command. ``{aml}``, as a word alone, stands for the command that starts AML; within words ``{project}``
stands for the folder above ``.loom``, ``{store}`` and ``{repository}`` for the store and its backups, ``{target}`` for
a folder to restore to, which does not exist yet, ``{home}`` for one that a program may use for its own files,
``{count}`` for a number that no other command got on the same repository, and ``{id}``, as a word alone, for the id of
a record."""

AML = "aml"
Figure = Literal["seconds", "bytes", "memory"]
Measured = Literal["stored", "added", "store"]


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """What store a row works on."""

    items: int
    patterns_only: bool = False
    small_files: int = 0
    garbage: float = 0.0
    schema: Schema | None = None

    def scaled(self, scale: float) -> StoreSpec:
        """The same store with so many times the items and small files, at least ten of what it has."""
        return replace(self, items=_scaled(self.items, scale), small_files=_scaled(self.small_files, scale))


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and the folder it runs in, which is made if it does not exist."""

    words: Words
    folder: str = "{project}"


@dataclass(frozen=True, slots=True)
class Side:
    """Who does the work of a row, on a copy of the store of its own; the first side of a row is AML's."""

    name: str
    timed: Step
    prepare: tuple[Step, ...] = ()
    """Commands to run after the store or the repository was made anew, not timed."""
    form: Form = "plain"
    program: str | None = None
    """A program that must be installed; None for AML."""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def required_by(self) -> str:
        """The environment variable by which the absence of the program is an error."""
        return f"AML_REQUIRE_{(self.program or AML).upper()}"


@dataclass(frozen=True, slots=True)
class Target:
    """What AML may take at most: ``limit`` in seconds or bytes; with ``peer`` so many times what that side takes."""

    figure: Figure
    limit: float
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work, done by all sides by turns. Targets and peer A's seconds are for a plain store."""

    name: str
    group: str
    work: str
    sides: tuple[Side, ...]
    targets: tuple[Target, ...] = ()
    peer_a: float | None = None
    store: StoreSpec = StoreSpec(items=10)
    renew: Literal["nothing", "repository", "store"] = "nothing"
    """What each run gets anew; the first one always gets all of it."""
    edit: Edit | None = None
    """A change to the store before each timed command, the same on all sides."""
    restores: bool = False
    """The timed command fills the target, which must then be like the store."""
    measured: Measured | None = None
    """Bytes to report: all that the repository has afterwards, what the timed command added to it, or the store's."""


def aml_sides(
    timed: Words, *, prepare: tuple[Words, ...] = (), forms: tuple[Form, ...] = ("plain", "gzip")
) -> tuple[Side, ...]:
    """AML's sides of a row, one for each form of store, by words after ``aml``."""
    steps = tuple(Step(("{aml}", *words)) for words in prepare)
    names: dict[Form, str] = {"plain": AML, "gzip": f"{AML} (gzip store)"}
    return tuple(Side(names[form], Step(("{aml}", *timed)), steps, form) for form in forms)


def _scaled(count: int, scale: float) -> int:
    return max(10, round(count * scale)) if count else 0
