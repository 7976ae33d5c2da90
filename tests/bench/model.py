"""What a row of the benchmark is: who does which work on what store, and the targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from tests.bench.edit import Edit
from tests.bench.generate import Form, Schema

Words = tuple[str, ...]
"""Words of a command. ``{aml}``, as a word alone, stands for the command that starts AML; within words ``{project}``
stands for the folder above ``.loom``, ``{store}`` and ``{repository}`` for the store and its backups, ``{target}`` for
a folder to restore to, which does not exist yet, ``{home}`` for one that a program may use for its own files,
``{count}`` for a number that no other command got on the same repository, and ``{id}``, as a word alone, for the id of
a record; ``{python}`` for the interpreter and ``{checkout}`` for the folder from which it imports."""

AML = "aml"
Figure = Literal["seconds", "bytes", "memory", "share", "cpu"]
FIGURES: tuple[Figure, ...] = get_args(Figure)
Measured = Literal["stored", "added", "store"]

STORE = "the store"
LARGEST = "the largest file"
"""What a target can be told by, beside a peer: all bytes of the plain store, and those of its largest file."""


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
    def own(self) -> bool:
        """Whether this is AML, on a store of either form."""
        return self.name.startswith(AML)

    @property
    def required_by(self) -> str:
        """The environment variable by which the absence of the program is an error."""
        return f"AML_REQUIRE_{(self.program or AML).upper()}"


@dataclass(frozen=True, slots=True)
class Target:
    """What AML may take at most, or must reach ``at_least``: ``limit`` in seconds, bytes or as a share.

    With ``of`` it is so many times what that side takes, or so many times the bytes of ``STORE`` or ``LARGEST``;
    ``plus`` comes on top.
    """

    figure: Figure
    limit: float
    of: str | None = None
    plus: float = 0.0
    at_least: bool = False


MEMORY = Target("memory", 3, of=LARGEST, plus=60e6)
"""What any command may take that has no target of its own: the largest file counts unpacked, and any store will do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work, done by all sides by turns. Targets and peer A's figures are for a plain store."""

    name: str
    group: str
    work: str
    sides: tuple[Side, ...]
    targets: tuple[Target, ...] = ()
    peer_a: float | None = None
    peer_a_bytes: float | None = None
    store: StoreSpec = StoreSpec(items=10)
    renew: Literal["nothing", "repository", "store"] = "nothing"
    """What each run gets anew; the first one always gets all of it."""
    edit: Edit | None = None
    """A change to the store before each timed command, the same on all sides."""
    restores: bool = False
    """The timed command fills the target, which must then be like the store."""
    measured: Measured | None = None
    """Bytes to report: all that the repository has afterwards, what the timed command added to it, or the store's."""
    inside: bool = False
    """The figures are those that the timed command prints as JSON, by their names, and not those of its process."""

    def target(self, figure: Figure) -> Target | None:
        """The target for a figure; for the memory of a process there always is one."""
        own = next((target for target in self.targets if target.figure == figure), None)
        return MEMORY if own is None and figure == "memory" and not self.inside else own


def aml_sides(
    timed: Words, *, prepare: tuple[Words, ...] = (), forms: tuple[Form, ...] = ("plain", "gzip")
) -> tuple[Side, ...]:
    """AML's sides of a row, one for each form of store, by words after ``aml``."""
    steps = tuple(Step(("{aml}", *words)) for words in prepare)
    names: dict[Form, str] = {"plain": AML, "gzip": f"{AML} (gzip store)"}
    return tuple(Side(names[form], Step(("{aml}", *timed)), steps, form) for form in forms)


def _scaled(count: int, scale: float) -> int:
    return max(10, round(count * scale)) if count else 0
